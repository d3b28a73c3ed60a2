"""Public weights at tiny size, in the files' real layouts: Stable Diffusion as a diffusers folder, AnimateDiff in both of its layouts."""

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402

from engines.core.errors import ScdError  # noqa: E402
from engines.model import pretrained  # noqa: E402
from engines.model.pretrained import add_motion, load_stable_diffusion  # noqa: E402
from tests.model.hub import write_adapter, write_stable_diffusion  # noqa: E402
from tests.model.stable import HEADS, TOKENS  # noqa: E402

UNET_FILE = Path("unet") / "diffusion_pytorch_model.safetensors"
SIZE = (64, 128)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stable_diffusion(tmp_path_factory.mktemp("hub") / "stable-tiny")


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(copytree(written, tmp_path / "stable-tiny"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("adapter") / "v2")


def test_a_folder_of_stable_diffusion_is_an_image_model(folder: Path) -> None:
    saved = load_stable_diffusion(folder, SIZE)
    theirs = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet")
    encoder = transformers.CLIPTextModel.from_pretrained(folder / "text_encoder")
    tokens = torch.tensor([[0] + [1] * (TOKENS - 1)])  # the start marker, and end markers to the end
    with torch.no_grad():
        prompt = encoder(tokens).last_hidden_state
        assert torch.allclose(saved.model.unet.prompt, prompt, atol=1e-6)
        latents = torch.randn(2, 4, 16, 8)
        truth = theirs(latents, torch.tensor([500.0]), prompt.expand(2, -1, -1)).sample
        found = saved.model.unet(latents, torch.tensor([500.0]), torch.zeros(()))[0]
        assert torch.allclose(found, truth, atol=1e-5)
        vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae")
        picture = torch.rand(1, 3, 64, 64) * 2 - 1
        assert torch.allclose(
            saved.autoencoder.encode(picture), vae.encode(picture).latent_dist.mode() * vae.config.scaling_factor, atol=1e-5
        )
    assert (saved.model.spec.size, saved.schedule.prediction_type) == (SIZE, "epsilon")
    assert "OpenRAIL" in saved.facts["licence"]


def test_motion_modules_in_both_layouts_are_the_same_model(folder: Path, adapter: Path, tmp_path: Path) -> None:
    """AnimateDiff's own file has other names, and a position table, which is computed here."""
    weights = load_file(adapter / "diffusion_pytorch_model.safetensors")
    names = {
        ".transformer_blocks": ".temporal_transformer.transformer_blocks", ".proj_": ".temporal_transformer.proj_",
        ".norm.": ".temporal_transformer.norm.", ".attn1.": ".attention_blocks.0.", ".attn2.": ".attention_blocks.1.",
        ".norm1.": ".norms.0.", ".norm2.": ".norms.1.", ".norm3.": ".ff_norm.",
    }  # fmt: skip
    original = {}
    for name, tensor in weights.items():
        for new, old in names.items():
            name = name.replace(new, old)
        original[name.replace("pos_embed.pe", "pos_encoder.pe")] = tensor.contiguous()
    file = tmp_path / "mm_sd_v15_v2.safetensors"
    save_file(original, file)
    assert any(".attention_blocks.1.to_q" in name for name in original)
    one, other = (add_motion(load_stable_diffusion(folder, SIZE), path) for path in (adapter, file))
    # the file names no heads: AnimateDiff has 8, the tiny adapter 2
    assert one.model.spec.motion is not None
    assert (one.model.spec.motion.heads, one.model.spec.motion.max_frames, one.model.spec.motion.middle) == (HEADS, 32, True)
    theirs = one.model.state_dict()
    assert set(theirs) == set(other.model.state_dict())
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in other.model.state_dict().items())
    with pytest.raises(ScdError, match="has motion modules already"):
        add_motion(one, adapter)


def change_key(weights: dict[str, Any], how: str) -> None:
    if how == "missing":
        del weights["conv_in.weight"], weights["conv_out.bias"]
    if how == "unknown":
        weights["conv_odd.weight"] = torch.zeros(1)
    if how == "misshapen":
        weights["conv_in.bias"] = torch.zeros(5)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", r"missing conv_in.weight, missing conv_out.bias"),
        ("unknown", r"unknown conv_odd.weight"),
        ("misshapen", r"conv_in.bias is \(5,\) not \(32,\)"),
    ],
)
def test_keys_that_do_not_fit_are_listed(folder: Path, how: str, said: str) -> None:
    weights = load_file(folder / UNET_FILE)
    change_key(weights, how)
    save_file(weights, folder / UNET_FILE)
    with pytest.raises(ScdError, match=said):
        load_stable_diffusion(folder, SIZE)


def only_pickle(folder: Path) -> None:
    (folder / UNET_FILE).rename(folder / "unet" / "diffusion_pytorch_model.bin")


def cut(folder: Path) -> None:
    (folder / UNET_FILE).write_bytes(b"\x00" * 100)


def configured(file: str, **changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (only_pickle, r"holds diffusion_pytorch_model.bin, a pickle, which scd does not open.*\.safetensors"),
        (cut, r"cannot be read"),
        (configured("unet/config.json", addition_embed_type="text_time"), r"addition_embed_type = text_time"),
        (configured("unet/config.json", attention_head_dim=[5, 10, 20, 20]), r"level by level"),
        (configured("scheduler/scheduler_config.json", beta_schedule="linear"), r"beta_schedule = linear"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(folder: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(folder)
    with pytest.raises(ScdError, match=said):
        load_stable_diffusion(folder, SIZE)


def test_motion_modules_as_a_pickle_are_refused(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "mm_sd_v15_v2.ckpt"
    file.write_bytes(b"\x80\x02.")
    with pytest.raises(ScdError, match="is a pickle, which can run code"):
        add_motion(load_stable_diffusion(folder, SIZE), file)


def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable\nsecond line")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    assert pretrained.is_hub_id("stable-diffusion-v1-5/stable-diffusion-v1-5")
    assert not pretrained.is_hub_id("runs/mini/step-1")
    with pytest.raises(ScdError, match=r"no folder here and could not be fetched from the hub \(Network is unreachable\)"):
        pretrained.from_hub("owner/name", pretrained.HUB_FILES)
