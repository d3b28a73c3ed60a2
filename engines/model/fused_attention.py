"""Attention as one onnxruntime node.

The CPU provider runs com.microsoft::MultiHeadAttention as flash attention; the standard opset-23 Attention costs it ten times
the time and materialises every score (see docs/decisions.md).
"""

import torch
from torch import Tensor


def multi_head_attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """(B, T, C), (B, S, C), (B, S, C) -> (B, T, C); only meaningful while torch.onnx.export traces."""
    return torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention", (query, key, value), {"num_heads": heads}, dtype=query.dtype, shape=query.shape, version=1
    )
