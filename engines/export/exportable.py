"""Networks as they are exported: the same weights, other forms of a few layers, chosen for what will run the graph."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.model.layers import GEGLU, Attend, Attention, CrossAttention, FeedForward, attend, attend_in_float32
from engines.model.unet import UNet


@dataclass(frozen=True)
class Dialect:
    """How a graph is written: opset, which attention node, and the type of weights, activations, inputs and outputs."""

    opset: int
    attention: Literal["contrib", "standard", "standard-fp32"]
    half: bool


# opset 20: the newest that onnxruntime's CPU provider runs without falling back to slow kernels
ORT_FP32 = Dialect(20, "contrib", half=False)
ORT_FP16 = Dialect(20, "contrib", half=True)
# opset 23: attention and group norm are single nodes, and an Attention that cannot be fused is an error of TensorRT's builder
TENSORRT = Dialect(23, "standard", half=True)
TENSORRT_CODEC = Dialect(20, "standard", half=True)  # its one head is 512 wide, which no fused kernel takes: written as matrices
TENSORRT_FP32_SUMS = Dialect(23, "standard-fp32", half=True)


def contrib_attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """onnxruntime's own node. Its CPU provider runs it as flash attention; the standard opset-23 Attention costs that provider ten
    times the time and materialises every score (docs/decisions.md). Means something only while torch.onnx.export traces."""
    return torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention", (query, key, value), {"num_heads": heads}, dtype=query.dtype, shape=query.shape, version=1
    )


def attention_with_fp32_sums(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """float32 around the node tells TensorRT to add up in float32; the fused kernel still reads float16 (TensorRT 11.3, RTX 1.7)."""
    return attend_in_float32(query, key, value, heads)


ATTENTION: dict[str, Attend] = {"contrib": contrib_attention, "standard": attend, "standard-fp32": attention_with_fp32_sums}


class SplitGEGLU(nn.Module):
    """A GEGLU whose value and gate are linear layers of their own: onnxruntime's Split copies what torch's chunk only views."""

    def __init__(self, whole: GEGLU) -> None:
        super().__init__()
        weights, biases = whole.proj.weight.chunk(2), whole.proj.bias.chunk(2)
        self.value, self.gate = (sharing(weight, bias) for weight, bias in zip(weights, biases, strict=True))

    def forward(self, hidden: Tensor) -> Tensor:
        return self.value(hidden) * F.gelu(self.gate(hidden))


def sharing(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer over these very tensors."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = (nn.Parameter(x.detach(), requires_grad=False) for x in (weight, bias))
    return layer


class FoldedPrompt(nn.Module):
    """Cross-attention to a prompt that never changes: its keys and values are constants, and their projections are gone."""

    key: Tensor
    value: Tensor

    def __init__(self, whole: CrossAttention, prompt: Tensor) -> None:
        super().__init__()
        self.heads, self.to_q, self.to_out = whole.heads, whole.to_q, whole.to_out
        self.attend: Attend = whole.attend
        with torch.no_grad():  # float16 matrices are multiplied as float32: half of the CPU's kernels are missing
            pair = [F.linear(prompt.float(), layer.weight.float()) for layer in (whole.to_k, whole.to_v)]
        self.register_buffer("key", pair[0].to(prompt.dtype))
        self.register_buffer("value", pair[1].to(prompt.dtype))

    def forward(self, hidden: Tensor, prompt: Tensor) -> Tensor:
        key, value = (x.expand(hidden.shape[0], -1, -1) for x in (self.key, self.value))
        return self.to_out[0](self.attend(self.to_q(hidden), key, value, self.heads))


class OneToken(nn.Module):
    """Cross-attention to a single token, whose softmax is 1: every place gets that token's value, and no query is asked."""

    def __init__(self, whole: CrossAttention) -> None:
        super().__init__()
        self.to_v, self.to_out = whole.to_v, whole.to_out

    def forward(self, hidden: Tensor, prompt: Tensor) -> Tensor:
        """prompt (B, 1, channels) -> (B, 1, C), to be added to every place."""
        return self.to_out[0](self.to_v(prompt))


def tensor_memo(module: nn.Module, half: bool) -> dict[int, Tensor]:
    """For deepcopy: what stands for each parameter and buffer in the copy. Itself, so that a copy of a large model costs no memory; or
    its float16 twin."""
    out: dict[int, Tensor] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        data = tensor.detach().half() if half and tensor.is_floating_point() else tensor.detach()
        out[id(tensor)] = nn.Parameter(data, requires_grad=False) if isinstance(tensor, nn.Parameter) else data
    return out


def exportable(module: nn.Module, dialect: Dialect) -> nn.Module:
    """The module in a dialect: a copy that shares its tensors (but float16 ones)."""
    out = deepcopy(module, cast(dict[int, object], tensor_memo(module, dialect.half)))
    for unet in [part for part in out.modules() if isinstance(part, UNet)]:
        fold_prompts(unet)
    for part in out.modules():
        if isinstance(part, FeedForward):
            part.net[0] = SplitGEGLU(cast(GEGLU, part.net[0]))
        if isinstance(part, Attention | FoldedPrompt):
            part.attend = ATTENTION[dialect.attention]
    return out.eval()


def fold_prompts(unet: UNet) -> None:
    for part in list(unet.modules()):
        if getattr(part, "has_text", False):
            whole = cast(CrossAttention, part.attn2)
            part.attn2 = OneToken(whole) if unet.prompt is None else FoldedPrompt(whole, unet.prompt)
