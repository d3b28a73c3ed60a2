"""Without a reference the network is diffusers' own: Stable Diffusion's UNet, and with motion modules AnimateDiff's."""

import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from engines.core.specs import self_attention_sites  # noqa: E402
from engines.model.scd import SCD  # noqa: E402
from tests.model.stable import CHANNELS, DIFFUSERS, HEADS, TEXT, TOKENS, stable_scd, stable_spec  # noqa: E402
from tests.model.tiny import stirred  # noqa: E402

CLOSE = {"rtol": 0.0, "atol": 1e-12}  # float64


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def image_unet() -> torch.nn.Module:
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(**DIFFUSERS).eval()


def video_unet(middle: bool) -> torch.nn.Module:
    torch.manual_seed(1)
    adapter = diffusers.MotionAdapter(
        block_out_channels=CHANNELS, motion_num_attention_heads=HEADS, motion_norm_num_groups=8, use_motion_mid_block=middle
    )
    return diffusers.UNetMotionModel.from_unet2d(image_unet(), stirred(adapter)).eval()


def loaded(motion: bool, middle: bool, weights: dict[str, torch.Tensor], prompt: torch.Tensor) -> SCD:
    model = SCD(stable_spec(motion, middle)).double().eval()
    model.unet.load_state_dict({**weights, "prompt": prompt})  # strict: the names are diffusers'
    return model


@pytest.mark.parametrize("pose", [0.0, 0.1])
def test_image_model_equals_unet_2d_condition(pose: float) -> None:
    """Pose features come in after conv_in: as good as a bias of it."""
    theirs, prompt = image_unet().double(), normal(1, TOKENS, TEXT)
    ours = loaded(False, False, theirs.state_dict(), prompt)
    latents, time = normal(3, 4, 16, 8), torch.tensor([500.0], dtype=torch.float64)
    with torch.no_grad():
        theirs.conv_in.bias += pose
        truth = theirs(latents, time, prompt.expand(3, -1, -1)).sample
        assert torch.allclose(ours.unet(latents, time, torch.full((), pose, dtype=torch.float64))[0], truth, **CLOSE)


@pytest.mark.parametrize("middle", [True, False], ids=["v2", "v1 and v3"])
def test_video_model_equals_unet_motion_model(middle: bool) -> None:
    theirs, prompt = video_unet(middle).double(), normal(1, TOKENS, TEXT)
    ours = loaded(True, middle, theirs.state_dict(), prompt)
    clips, frames = 2, 5
    latents, time = normal(clips, 4, frames, 16, 8), torch.tensor([300.0], dtype=torch.float64)
    with torch.no_grad():
        truth = theirs(latents, time, prompt.expand(clips * frames, -1, -1)).sample.transpose(1, 2).flatten(0, 1)
        zero = torch.zeros((), dtype=torch.float64)
        found = ours.unet(latents.transpose(1, 2).flatten(0, 1), time, zero, clips=clips)[0]
    assert torch.allclose(found, truth, **CLOSE)


def test_sites_are_stable_diffusions_sixteen_in_execution_order() -> None:
    model = stable_scd(False)
    sites = self_attention_sites(model.spec)
    down = [f"down.{level}.{layer}" for level in range(3) for layer in range(2)]
    up = [f"up.{level}.{layer}" for level in range(1, 4) for layer in range(3)]
    assert [site.name for site in sites] == [*down, "mid", *up]
    collected = model.reference(torch.zeros(1, 4, 16, 8), torch.zeros(1, 32, 16, 8))
    assert [(site.tokens, site.channels) for site in sites] == [tuple(key.shape[1:]) for key, _ in collected]


def test_pose_encoder_starts_at_zero_and_has_the_papers_strides() -> None:
    fresh = SCD(stable_spec(False)).pose_encoder(torch.rand(1, 3, 128, 64))
    assert fresh.shape == (1, 32, 16, 8)
    assert not fresh.any()
