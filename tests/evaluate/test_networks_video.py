"""The three networks of clips against second statements of them, straight from the files' tensors."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import Tensor  # noqa: E402

from engines.core.errors import ScdError  # noqa: E402
from engines.evaluate.networks import i3d, resnet3d, videomae  # noqa: E402
from engines.evaluate.networks.extractors import Features, open_extractor  # noqa: E402
from tests.evaluate import network_files as files  # noqa: E402
from tests.evaluate.network_files import State, normalised, pictures, random_state, resampled, tensor, write  # noqa: E402
from tests.evaluate.network_files import one_thread as one_thread  # noqa: E402

NAMES = {"fid_vid_rn50": "resnet-50-kinetics", "fvd_i3d400": "i3d_pretrained_400", "fvd_videomae": "vit_g_hybrid_pt_1200e_ssv2_ft"}
WIDTHS = {"fid_vid_rn50": 2048, "fvd_i3d400": 400, "fvd_videomae": 32}
CLIPS = pictures(2, 16, 40, 56)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("video")
    write(out, *NAMES.values())
    yield out
    shutil.rmtree(out)


@pytest.fixture(scope="module", params=list(NAMES))
def metric(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def whole(network: Features) -> NDArray[np.float64]:
    """The features of CLIPS."""
    return network(CLIPS)


@pytest.fixture(scope="module")
def network(metric: str, folder: Path) -> Features:
    out = open_extractor(metric, folder)
    assert isinstance(out, Features)
    return out


def frames(clip: np.ndarray, side: int, antialias: bool) -> Tensor:
    """(3, T, side, side) in grey levels."""
    return tensor(np.stack([resampled(frame, side, antialias) for frame in clip])).transpose(0, 1)


def resnet(x: Tensor, s: State) -> Tensor:
    """(3, 16, 112, 112) in grey levels -> (2048)."""

    def unit(x: Tensor, conv: str, bn: str, stride: int | tuple[int, ...] = 1) -> Tensor:
        weight, bias = normalised(s, bn, s[f"{conv}.weight"], 1e-5)
        return F.conv3d(x, weight, bias, stride, weight.shape[-1] // 2)

    x = unit((x - torch.tensor([114.7748, 107.7354, 99.4750]).view(3, 1, 1, 1))[None], "conv1", "bn1", (1, 2, 2)).clamp(min=0)
    x = F.max_pool3d(F.pad(x, [1] * 6, value=-torch.inf), 3, 2)
    for layer, count in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for name in (f"layer{layer}.{i}" for i in range(count)):
            stride = 2 if layer > 1 and name.endswith(".0") else 1
            short = unit(x, f"{name}.downsample.0", f"{name}.downsample.1", stride) if name.endswith(".0") else x
            y = unit(x, f"{name}.conv1", f"{name}.bn1").clamp(min=0)
            y = unit(y, f"{name}.conv2", f"{name}.bn2", stride).clamp(min=0)
            x = (unit(y, f"{name}.conv3", f"{name}.bn3") + short).clamp(min=0)
    assert x.shape == (1, 2048, 1, 4, 4)
    return x[0, :, 0].flatten(1).mean(1)


def restated_i3d(x: Tensor, s: State) -> Tensor:
    """(3, 16, 224, 224) in grey levels -> (400). All sizes are even, so a stride of 2 misses k - 2 zeros, of which the end gets more."""

    def same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], value: float) -> Tensor:
        pads = [(max(k - t, 0) // 2, (max(k - t, 0) + 1) // 2) for k, t in zip(kernel, stride, strict=True)]
        return F.pad(x, [n for pair in pads[::-1] for n in pair], value=value)

    def unit(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight, bias = normalised(s, f"{name}.bn", s[f"{name}.conv3d.weight"], 1e-3)
        return F.conv3d(same(x, weight.shape[2:], (stride,) * 3, 0), weight, bias, stride).clamp(min=0)

    def pool(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
        return F.max_pool3d(same(x, kernel, stride, -torch.inf), kernel, stride)

    x = pool(unit(x[None] / 127.5 - 1, "Conv3d_1a_7x7", 2), (1, 3, 3), (1, 2, 2))
    x = pool(unit(unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3"), (1, 3, 3), (1, 2, 2))
    for block in ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"):
        x = pool(x, (3, 3, 3), (2, 2, 2)) if block == "4b" else pool(x, (2, 2, 2), (2, 2, 2)) if block == "5b" else x
        m = f"Mixed_{block}"
        wide, narrow = unit(unit(x, f"{m}.b1a"), f"{m}.b1b"), unit(unit(x, f"{m}.b2a"), f"{m}.b2b")
        x = torch.cat([unit(x, f"{m}.b0"), wide, narrow, unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{m}.b3b")], 1)
    assert x.shape == (1, 1024, 2, 7, 7)
    return s["logits.conv3d.weight"].flatten(1) @ x[0].mean((1, 2, 3)) + s["logits.conv3d.bias"]


def restated_videomae(x: Tensor, s: State) -> Tensor:
    """(3, 16, 224, 224) in grey levels -> (width). Attention as sums over single heads."""
    kernel = s["patch_embed.proj.weight"]
    t, h, w = kernel.shape[2:]
    patches = (x / 255).unfold(1, t, t).unfold(2, h, h).unfold(3, w, w).reshape(3, -1, t * h * w).transpose(0, 1).flatten(1)
    tokens = patches @ kernel.flatten(1).T + s["patch_embed.proj.bias"]
    place = torch.arange(len(tokens), dtype=torch.float64)[:, None] / 10000 ** (torch.arange(0, tokens.shape[1], 2) / tokens.shape[1])
    tokens = tokens + torch.stack([place.sin(), place.cos()], -1).flatten(1).float()

    def norm(x: Tensor, name: str) -> Tensor:
        variance = x.var(-1, correction=0, keepdim=True)
        return (x - x.mean(-1, keepdim=True)) / (variance + 1e-6).sqrt() * s[f"{name}.weight"] + s[f"{name}.bias"]

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ s[f"{name}.weight"].T + s[f"{name}.bias"]

    for b in (f"blocks.{i}" for i in range(2)):
        y = norm(tokens, f"{b}.norm1")
        q, k, v = (y @ part.T for part in s[f"{b}.attn.qkv.weight"].chunk(3))
        q, v = q + s[f"{b}.attn.q_bias"], v + s[f"{b}.attn.v_bias"]
        heads = zip(*(z.chunk(16, 1) for z in (q, k, v)), strict=True)
        seen = torch.cat([(a @ c.T / a.shape[1] ** 0.5).softmax(1) @ d for a, c, d in heads], 1)
        tokens = tokens + linear(seen, f"{b}.attn.proj")
        hidden = linear(norm(tokens, f"{b}.norm2"), f"{b}.mlp.fc1")
        tokens = tokens + linear(hidden * (1 + torch.erf(hidden / 2**0.5)) / 2, f"{b}.mlp.fc2")
    return norm(tokens.mean(0), "fc_norm")


def restated(metric: str, clip: np.ndarray) -> np.ndarray:
    state = random_state(files.FILES[NAMES[metric]], list(NAMES).index(metric))
    if metric == "fid_vid_rn50":
        return resnet(frames(clip, 112, True), state).numpy()
    if metric == "fvd_i3d400":
        return restated_i3d(frames(clip, 224, True), state).numpy()
    return restated_videomae(frames(clip, 224, False), state).numpy()


def test_layouts() -> None:
    for network, layout in ((resnet3d.ResNet3d(), files.resnet3d()), (i3d.I3d(), files.i3d())):
        assert {k: tuple(v.shape) for k, v in network.state_dict().items()} == layout
    own = videomae.VideoMae(32, 48, 2, (2, 56, 56)).state_dict()
    assert {k: tuple(v.shape) for k, v in own.items()} == {k: v for k, v in files.videomae().items() if not k.startswith("head.")}


def test_features_are_the_restated_ones(metric: str, whole: NDArray[np.float64]) -> None:
    want = restated(metric, CLIPS[0])
    assert whole.shape == (2, WIDTHS[metric])
    assert whole.dtype == np.float64
    assert want.std() > 0.1
    np.testing.assert_allclose(whole[0], want, atol=1e-4 * np.abs(want).max(), rtol=0)


def test_batches_do_not_matter(metric: str, network: Features, whole: NDArray[np.float64]) -> None:
    alone = network(CLIPS[1:])
    np.testing.assert_allclose(whole[1:], alone, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(alone, network(CLIPS[1:]))
    assert np.abs(whole[0] - whole[1]).max() > 1e-3
    assert network(CLIPS[:0]).shape == (0, WIDTHS[metric])


def test_order_of_frames_matters(network: Features, whole: NDArray[np.float64]) -> None:
    assert np.abs(whole[:1] - network(CLIPS[:1, ::-1])).max() > 1e-4


def test_resnet_takes_segments_of_16_and_repeats_the_last_frame() -> None:
    clip = pictures(21, 40, 56)
    found = resnet3d.prepared(clip, CPU)
    filled = np.concatenate([clip, np.repeat(clip[20:], 11, 0)])
    assert found.shape == (2, 3, 16, 112, 112)
    for part, segment in zip(filled.reshape(2, 16, 40, 56, 3), found, strict=True):
        mean = torch.tensor([114.7748, 107.7354, 99.4750]).view(3, 1, 1, 1)
        torch.testing.assert_close(segment + mean, frames(part, 112, True), atol=1e-3, rtol=0)
    assert len(resnet3d.prepared(clip[:16], CPU)) == 1


@pytest.mark.parametrize("metric", ["fid_vid_rn50"], scope="module", indirect=True)
def test_resnet_averages_segments(network: Features, whole: NDArray[np.float64]) -> None:
    long = np.concatenate(list(CLIPS))[None]
    np.testing.assert_allclose(network(long), whole.mean(0, keepdims=True), rtol=1e-5, atol=1e-6)


def test_red_comes_first() -> None:
    red = np.zeros((16, 30, 30, 3), np.uint8)
    red[..., 0] = 255
    assert float(resnet3d.prepared(red, CPU)[0, 0].mean()) == pytest.approx(255 - 114.7748, abs=1e-3)
    assert float(i3d.prepared(red, CPU)[0, 0].mean()) == pytest.approx(1, abs=1e-5)
    assert float(videomae.prepared(red, CPU)[0, 0].mean()) == pytest.approx(1)
    assert float(videomae.prepared(red, CPU)[0, 1:].abs().max()) == 0


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3), (7, 1), (7, 2), (7, 3)])
@pytest.mark.parametrize("size", [7, 8, 9])
def test_same_padding(kernel: int, stride: int, size: int) -> None:
    """TensorFlow: as many windows as strides fit, begun, into the size; with an odd number of zeros the end has one more."""
    x = torch.ones(1, 1, size, size, size)
    out = i3d.padded(x, (kernel,) * 3, (stride,) * 3)[0, 0]
    missing = (int(np.ceil(size / stride)) - 1) * stride + kernel - size
    line = out[out.shape[0] // 2, out.shape[1] // 2].tolist()
    assert line == [0] * (missing // 2) + [1] * size + [0] * (missing - missing // 2)
    assert out.shape == (size + missing,) * 3


def test_videomae_takes_16_frames(folder: Path) -> None:
    network = open_extractor("fvd_videomae", folder)
    with pytest.raises(ScdError, match="VideoMAE takes clips of 16 frames, not of 15"):
        network(CLIPS[:, 1:])  # type: ignore[call-arg]


@pytest.mark.parametrize(("change", "says"), [
    ({"patch_embed.proj.weight": None}, r"lacks patch_embed\.proj\.weight, a tensor of 5 dimensions"),
    ({"patch_embed.proj.weight": torch.ones(32, 3, 2, 15, 15)}, "as 32x3x2x15x15, not a VideoMAE's of 16 heads"),
    ({"patch_embed.proj.weight": torch.ones(24, 3, 2, 56, 56)}, "as 24x3x2x56x56, not a VideoMAE's of 16 heads"),
    ({"blocks.1.attn.q_bias": None}, r"lacks blocks\.1\.attn\.q_bias, a tensor of 32"),
    ({"fc_norm.weight": torch.ones(31)}, r"has fc_norm\.weight as 31, which must be 32"),
    ({"cls_token": torch.ones(1)}, "has cls_token, which the network does not have"),
])  # fmt: skip
def test_videomae_of_other_sizes(change: dict[str, Tensor | None], says: str, tmp_path: Path) -> None:
    state = random_state(files.videomae()) | change
    path = tmp_path / f"{NAMES['fvd_videomae']}.safetensors"
    save_file({k: v for k, v in state.items() if v is not None}, path)
    with pytest.raises(ScdError, match=says):
        open_extractor("fvd_videomae", tmp_path)(CLIPS)  # type: ignore[call-arg]


def test_strictness(tmp_path: Path) -> None:
    state = random_state(files.i3d())
    save_file({k.replace("Mixed_4c", "Mixed_9z"): v for k, v in state.items()}, tmp_path / "i3d_pretrained_400.safetensors")
    with pytest.raises(ScdError, match=r"lacks Mixed_4c\.b0\.conv3d\.weight, a tensor of 160x512x1x1x1"):
        open_extractor("fvd_i3d400", tmp_path)(CLIPS)  # type: ignore[call-arg]
