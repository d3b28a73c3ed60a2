"""Moore-AnimateAnyone's files: the same names, the same numbers as a plain statement of what its code does, strict and safe loading."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

import torch.nn.functional as F  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import Tensor  # noqa: E402

from engines.core.errors import ScdError  # noqa: E402
from engines.core.specs import ModelSpec, MotionSpec, PictureSpec, PoseEncoderSpec, ReferenceNetSpec, TextSpec, UNetSpec  # noqa: E402
from engines.model.baselines import build_model  # noqa: E402
from engines.model.loading import SavedModel  # noqa: E402
from engines.model.moore import Parts, is_moore, is_motion, load_moore, motion_name  # noqa: E402
from engines.model.moore_specs import POSITIONS  # noqa: E402
from engines.model.pretrained import add_motion  # noqa: E402
from engines.model.reference_net import ReferenceNet  # noqa: E402
from engines.model.scd import repeat_kv  # noqa: E402
from tests.model.moore_files import FRAMES, GROUPS, HEADS, SMALL, TOKEN, WHOLE, clip, motion_of, unet_of, write_moore  # noqa: E402

SIZE = (64, 128)
# Of the public files' names and shapes (commit a914ef3 of MooreThreads/Moore-AnimateAnyone, its modules instantiated): sha256 of the sorted
# lines "name [shape]" of pose guider, reference UNet and denoising UNet with motion modules, 16 + 682 + 1274 of them.
PUBLIC = {
    "pose_guider": "a983169ef00070d993ca06e6305a4fadf5b1563a6da9fa4978ba38f1eaccb0aa",
    "reference_unet": "99032dcb78a4725e7b95804d2adf8d1e5ef7aa369b6c9964f39e00cc82d7580e",
    "denoising_unet": "546fbd082c1eac07a6eb6532ca090f5863d6faaef7361614599181cd3e6553f5",
}  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moore(tmp_path_factory.mktemp("moore") / "pretrained_weights", WHOLE)


@pytest.fixture(scope="module")
def saved(written: Path) -> SavedModel:
    return load_moore(written, Parts(), SIZE)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two levels: what is refused is refused sooner."""
    return write_moore(tmp_path_factory.mktemp("few") / "weights", SMALL)


@pytest.fixture
def folder(few: Path, tmp_path: Path) -> Path:
    return Path(copytree(few, tmp_path / "weights"))


def full_spec() -> ModelSpec:
    unet = UNetSpec(
        latent_channels=4, channels=(320, 640, 1280, 1280), attention=(True, True, True, False), layers_per_block=2, head_size=0,
        feed_forward_ratio=4, groups=32, heads=8, text=TextSpec(tokens=1, channels=768),
    )  # fmt: skip
    picture = PictureSpec(size=28, patch=14, width=16, layers=1, heads=2, inner=16, channels=768, activation="quick_gelu")
    motion = MotionSpec(
        levels=(0, 1, 2, 3), max_frames=32, head_size=0, feed_forward_ratio=4, layout="animatediff", heads=8, frame_norm=True
    )
    pose = PoseEncoderSpec(channels=(16, 32, 96, 256), position_frequencies=0, layout="controlnet")
    return ModelSpec(
        size=(512, 512), downscale=8, unet=unet, pose=pose, motion=motion, reference_net=ReferenceNetSpec(pose=False), picture=picture
    )


def lines(weights: dict[str, Tensor]) -> str:
    return hashlib.sha256("\n".join(sorted(f"{name} {list(x.shape)}" for name, x in weights.items())).encode()).hexdigest()


def test_names_and_shapes_at_full_width_are_the_public_files() -> None:
    with torch.device("meta"):
        model = ReferenceNet(full_spec())
    own = {motion_name(name) if is_motion(name) else name: x for name, x in model.unet.state_dict().items()}
    own |= {name.replace("blocks.0.pos", "blocks.1.pos"): x for name, x in own.items() if name.endswith(POSITIONS)}
    parts = {"pose_guider": model.pose_encoder.state_dict(), "reference_unet": model.reference_unet.state_dict(), "denoising_unet": own}
    assert {name: lines(weights) for name, weights in parts.items()} == PUBLIC


class Bank:
    """The semantics of docs/moore.md stated over diffusers' own UNets: what the reading blocks' norm1 gives is kept under the block's
    name, and the denoising block of that name attends to its own states and, but for the unconditional items, to the kept ones."""

    def __init__(self) -> None:
        self.states: dict[str, Tensor] = {}

    def read(self, unet: Any, latents: Tensor, token: Tensor) -> None:
        handles = []
        for name, module in unet.named_modules():
            if name.endswith("transformer_blocks.0"):
                handles.append(module.norm1.register_forward_hook(lambda _m, _i, out, name=name: self.states.__setitem__(name, out)))
        unet(latents, torch.zeros(1), token)
        for handle in handles:
            handle.remove()

    def denoise(self, unet: Any, latents: Tensor, timestep: Tensor, pose: Tensor, token: Tensor, reads: bool) -> Tensor:
        for name, module in unet.named_modules():
            if name.endswith("transformer_blocks.0"):
                module.attn1.set_processor(Concatenate(self.states[name] if reads else None))
        handle = unet.conv_in.register_forward_hook(lambda _m, _i, out: out + pose)
        out = unet(latents, timestep, token).sample
        handle.remove()
        return out


class Concatenate:
    """An attention processor: softmax(q k / sqrt(d)) v, k and v projected from [own states, kept states]."""

    def __init__(self, kept: Tensor | None) -> None:
        self.kept = kept

    def __call__(self, attn: Any, hidden_states: Tensor, *_: object, **__: object) -> Tensor:
        seen = hidden_states if self.kept is None else torch.cat([hidden_states, self.kept.expand(len(hidden_states), -1, -1)], 1)
        query, key, value = (
            layer(x).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for layer, x in ((attn.to_q, hidden_states), (attn.to_k, seen), (attn.to_v, seen))
        )
        scores = torch.softmax(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5, -1)
        return attn.to_out[0]((scores @ value).transpose(1, 2).flatten(2))


@torch.no_grad()
def test_the_image_model_is_what_the_original_code_does(saved: SavedModel) -> None:
    """Both halves of guidance: the second sees no reference and a zero token. Motion modules are left out here (clips = 0)."""
    torch.manual_seed(7)
    ref, noisy, token = torch.randn(1, 4, 16, 8), torch.randn(3, 4, 16, 8), torch.randn(1, 1, TOKEN)
    timestep, pose = torch.tensor([601.0]), torch.randn(3, 32, 16, 8)
    bank, reading, denoising = Bank(), unet_of(WHOLE, 0), unet_of(WHOLE, 1)
    bank.read(reading, ref, token)
    truth = torch.cat([
        bank.denoise(denoising, noisy, timestep, pose, token.expand(3, -1, -1), reads=True),
        bank.denoise(denoising, noisy, timestep, pose, torch.zeros(3, 1, TOKEN), reads=False),
    ])  # fmt: skip
    model = saved.model
    null = torch.zeros_like
    kv = model.reference(torch.cat([ref, null(ref)]), ref_token=torch.cat([token, null(token)]))
    found = model.target(noisy.repeat(2, 1, 1, 1), timestep, pose.repeat(2, 1, 1, 1), repeat_kv(kv, 3), clips=0)
    assert (found - truth).abs().max() < 1e-5
    assert (truth[:3] - truth[3:]).abs().max() > 1e-2, "the reference matters"
    alone = model.target(noisy, timestep, pose, repeat_kv(model.reference(ref, ref_token=token), 3), clips=0)
    assert (alone - truth[:3]).abs().max() < 1e-5, "one condition is the first of two"


def plain_motion(weights: dict[str, Tensor], prefix: str, hidden: Tensor) -> Tensor:
    """A motion module by its file's names: (F, C, H, W) of one clip. GroupNorm frame by frame, each place's frames attend to each other."""

    def w(name: str) -> Tensor:
        return weights[f"{prefix}.temporal_transformer.{name}"]

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], w(f"{name}.weight"), w(f"{name}.bias"))

    frames, _, rows, columns = hidden.shape
    x = F.group_norm(hidden, GROUPS, w("norm.weight"), w("norm.bias"), 1e-6).permute(2, 3, 0, 1).flatten(0, 1)
    x = F.linear(x, w("proj_in.weight"), w("proj_in.bias"))
    block = "transformer_blocks.0"
    for number in range(2):
        at = f"{block}.attention_blocks.{number}"
        seen = norm(f"{block}.norms.{number}", x) + w(f"{at}.pos_encoder.pe")[:, :frames]
        q, k, v = (F.linear(seen, w(f"{at}.to_{part}.weight")).unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in "qkv")
        mixed = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1) @ v
        x = x + F.linear(mixed.transpose(1, 2).flatten(2), w(f"{at}.to_out.0.weight"), w(f"{at}.to_out.0.bias"))
    value, gate = F.linear(norm(f"{block}.ff_norm", x), w(f"{block}.ff.net.0.proj.weight"), w(f"{block}.ff.net.0.proj.bias")).chunk(2, -1)
    x = x + F.linear(value * F.gelu(gate), w(f"{block}.ff.net.2.weight"), w(f"{block}.ff.net.2.bias"))
    x = F.linear(x, w("proj_out.weight"), w("proj_out.bias"))
    return hidden + x.unflatten(0, (rows, columns)).permute(2, 3, 0, 1)


@torch.no_grad()
def test_motion_modules_are_what_the_original_code_does(saved: SavedModel) -> None:
    torch.manual_seed(8)
    weights, hidden = motion_of(WHOLE), torch.randn(5, 32, 4, 2) + torch.arange(5.0)[:, None, None, None]
    module = saved.model.unet.down_blocks[0].motion_modules[1]  # type: ignore[index, union-attr]
    truth = plain_motion(weights, "down_blocks.0.motion_modules.1", hidden)
    assert (module(hidden, 1) - truth).abs().max() < 1e-5
    assert (module(torch.cat([hidden, hidden * 2]), 2)[:5] - truth).abs().max() < 1e-5, "clips do not see each other"


@torch.no_grad()
def test_clip_token_is_transformers_own(saved: SavedModel) -> None:
    picture = torch.rand(2, 3, 28, 28)
    processor = transformers.CLIPImageProcessor(do_resize=False, do_center_crop=False, do_rescale=False)
    pixels = torch.as_tensor(processor(list(picture.numpy()), return_tensors="np", input_data_format="channels_first").pixel_values)
    truth = clip()(pixels).image_embeds
    assert saved.model.picture_encoder is not None
    assert (saved.model.picture_encoder(picture)[:, 0] - truth).abs().max() < 1e-5


def test_what_the_shapes_say(saved: SavedModel, written: Path) -> None:
    spec, motion = saved.model.spec, saved.model.spec.motion
    assert is_moore(written)
    assert (spec.size, spec.unet.channels, spec.unet.layers_per_block, spec.pose.channels) == (SIZE, WHOLE.channels, 2, (4, 8, 8, 16))
    assert motion is not None
    assert (motion.levels, motion.middle, motion.max_frames) == ((0, 1, 2, 3), True, FRAMES)
    assert (saved.schedule.prediction_type, saved.schedule.zero_terminal_snr, saved.sampling.guidance) == ("v_prediction", True, 3.5)
    assert "no licence" in saved.facts["licence"]


@pytest.mark.parametrize("motion", ["inside", "none"])
def test_motion_modules_may_lie_elsewhere_or_nowhere(few: Path, tmp_path: Path, motion: str) -> None:
    other = load_moore(write_moore(tmp_path / "weights", SMALL, motion), Parts(), SIZE).model
    mine, theirs = load_moore(few, Parts(), SIZE).model.state_dict(), other.state_dict()
    assert all(torch.equal(tensor, mine[name]) for name, tensor in theirs.items())
    assert (len(theirs) == len(mine)) == (motion == "inside")


def changed(file: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        weights = torch.load(folder / file, weights_only=True)
        change(weights)
        torch.save(weights, folder / file)

    return spoil


def written_as(file: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_bytes(data) and None


def reconfigured(**changes: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "image_encoder" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def without(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


def without_middle(weights: dict[str, Any]) -> None:
    for name in [name for name in weights if name.startswith("mid_block")]:
        del weights[name]


MIDDLE = "mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight"
MOVING = "mid_block.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.1.to_q.weight"
TABLE = "up_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.1.pos_encoder.pe"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (changed("reference_unet.pth", lambda w: w.pop(MIDDLE)), rf"reference_unet.pth does not fit the model: missing {MIDDLE}"),
        (changed("reference_unet.pth", lambda w: w.update(odd=torch.zeros(1))), r"reference_unet.pth .* unknown odd"),
        (changed("denoising_unet.pth", lambda w: w.pop("conv_out.bias")), r"denoising_unet.pth .* missing conv_out.bias"),
        (changed("denoising_unet.pth", lambda w: w.pop("conv_in.weight")), r"denoising_unet.pth has no conv_in.weight"),
        (changed("denoising_unet.pth", lambda w: w.update({MIDDLE: torch.zeros(3, 3)})), rf"denoising_unet.pth .* {MIDDLE} is \(3, 3\)"),
        (changed("pose_guider.pth", lambda w: w.update({"conv_out.bias": torch.zeros(9)})), r"pose_guider.pth .* conv_out.bias is \(9,\)"),
        (changed("motion_module.pth", lambda w: w.pop(MOVING)), rf"motion_module.pth .* missing {MOVING}"),
        (changed("motion_module.pth", lambda w: w.update({TABLE: w[TABLE] + 1})), rf"motion_module.pth has a position table .* {TABLE}"),
        (changed("pose_guider.pth", lambda w: w.update(step=3)), r"pose_guider.pth holds step, which is no tensor"),
        (changed("pose_guider.pth", lambda w: w.clear()), r"pose_guider.pth holds no weights by name"),
        (changed("denoising_unet.pth", lambda w: w.update(run=os.path.join)), r"denoising_unet.pth needs posixpath.join .* can run code"),
        (written_as("reference_unet.pth", b"<html>not found</html>"), r"reference_unet.pth is no file of weights"),
        (written_as("reference_unet.pth", b""), r"reference_unet.pth is no file of weights"),
        (written_as("pose_guider.pth", b"version https://git-lfs.github.com/spec/v1\n"), r"pose_guider.pth is no file of weights"),
        (without("pose_guider.pth"), r"has no pose_guider.pth.*--checkpoint"),
        (without("reference_unet.pth"), r"has no reference_unet.pth"),
        (without("image_encoder/config.json"), r"no CLIP image encoder.*--image-encoder"),
        (without("image_encoder/pytorch_model.bin"), r"image_encoder has no model.safetensors.*--image-encoder"),
        (changed("image_encoder/pytorch_model.bin", lambda w: w.pop("visual_projection.weight")), r"missing visual_projection.weight"),
        (without("sd-vae-ft-mse/config.json"), r"no VAE.*--vae"),
        (written_as("image_encoder/config.json", b'{"image_size": 28}'), r"image_encoder/config.json gives no patch_size"),
        (reconfigured(hidden_act="odd"), r"config.json is not of CLIP's image encoder"),
        (reconfigured(projection_dim=25), r"makes tokens of 25 numbers, and the UNet looks at 24"),
        (changed("denoising_unet.pth", lambda w: w.update({"conv_in.weight": torch.zeros(3)})), r"has a misshapen conv_in.weight"),
        (changed("motion_module.pth", without_middle), r"motion_module.pth .* missing mid_block"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_file_and_key(folder: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(folder)
    with pytest.raises(ScdError, match=said) as found:
        load_moore(folder, Parts(), SIZE)
    assert "\n" not in str(found.value)


def test_parts_may_lie_elsewhere(folder: Path, few: Path) -> None:
    (folder / "sd-vae-ft-mse").rename(folder / "my-vae")
    (folder / "image_encoder").rename(folder / "my-clip")
    again = load_moore(folder, Parts(vae=folder / "my-vae", image_encoder=folder / "my-clip"), SIZE)
    first = load_moore(few, Parts(), SIZE).model.state_dict()
    assert all(torch.equal(tensor, again.model.state_dict()[name]) for name, tensor in first.items())


def test_adapters_of_one_unet_are_refused(folder: Path) -> None:
    (folder / "motion_module.pth").unlink()
    adapter = folder / "adapter.safetensors"
    save_file({name: tensor.clone() for name, tensor in motion_of(SMALL).items()}, adapter)
    with pytest.raises(ScdError, match="has two"):
        add_motion(load_moore(folder, Parts(), SIZE), adapter)


def test_a_reference_net_can_be_trained(saved: SavedModel) -> None:
    """Gradients reach both UNets: through the target's prediction, and also without a picture encoder and with the reference's pose."""
    spec = replace(saved.model.spec, picture=None, motion=None, reference_net=ReferenceNetSpec(pose=True))
    torch.manual_seed(0)
    model = build_model(spec)
    assert isinstance(model, ReferenceNet)
    ref, features = torch.randn(2, 4, 16, 8), torch.randn(2, 32, 16, 8)
    kv = model.reference(ref, features)
    assert len(kv) == len(model.unet.sites)
    model.target(torch.randn(2, 4, 16, 8), torch.tensor([10.0]), features, kv, clips=0).square().mean().backward()
    for unet in (model.unet, model.reference_unet):
        gradient = unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_k.weight.grad
        assert gradient is not None
        assert gradient.abs().max() > 0
    passed_over = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    unread = ("reference_unet.up_blocks.3.attentions.2.proj_out.", "reference_unet.up_blocks.3.attentions.2.transformer_blocks.0.")
    assert all(name.startswith(("pose_encoder.", *unread)) for name in passed_over)
    assert frozen == {name for name in passed_over if name.startswith(unread)}
