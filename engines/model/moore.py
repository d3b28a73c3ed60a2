"""Moore-AnimateAnyone's public weights as a Reference-Net model: four .pth files, strict by key, and beside them a VAE and CLIP.

What the files hold and mean: docs/moore.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from engines.core.errors import ScdError
from engines.core.schedule import NoiseSchedule
from engines.core.specs import ModelSpec, ReferenceNetSpec, Sampling
from engines.model.checkpoint import check_fit, load_strict
from engines.model.loading import SavedModel
from engines.model.moore_specs import CLIP_HINT, HINT, POSITIONS, motion_spec, picture_spec, pose_spec, unet_spec
from engines.model.pickles import read_tensors
from engines.model.pretrained import WEIGHTS, frozen, read_config
from engines.model.reference_net import ReferenceNet
from engines.model.stable_vae import STABLE, StableVae, today

REFERENCE, DENOISING, POSE, MOTION = "reference_unet.pth", "denoising_unet.pth", "pose_guider.pth", "motion_module.pth"
VAE_FOLDERS, CLIP_FOLDERS = ("sd-vae-ft-mse", "vae"), ("image_encoder",)  # as its own download script names them, and diffusers
VAE_FILES, CLIP_FILES = (*WEIGHTS, "diffusion_pytorch_model.bin"), ("model.safetensors", "pytorch_model.bin")
MADE_FOR = (512, 768)  # its own default, 512x784, is no multiple of 64
SCHEDULE = NoiseSchedule(train_timesteps=1000, beta_start=0.00085, beta_end=0.012, zero_terminal_snr=True, prediction_type="v_prediction")
SAMPLING = Sampling(steps=30, guidance=3.5, shared_noise=0.0, window=24, overlap=4)
LICENCE = (
    "AnimateAnyone weights of Moore Threads (its README states no licence for them; the code is Apache-2.0), made from "
    "Stable Diffusion 1.5 (CreativeML OpenRAIL-M)"
)
SAME_TABLE = 5e-3  # a position table differs from the computed one by no more: bfloat16 files round by 2e-3
MOTION_NAMES = {
    ".transformer_blocks.": ".temporal_transformer.transformer_blocks.", ".proj_": ".temporal_transformer.proj_",
    ".norm.": ".temporal_transformer.norm.", ".attn1.": ".attention_blocks.0.", ".attn2.": ".attention_blocks.1.", ".norm1.": ".norms.0.",
    ".norm2.": ".norms.1.", ".norm3.": ".ff_norm.", ".pos_embed.pe": f".attention_blocks.0{POSITIONS}",
}  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """Where the VAE and CLIP's image encoder lie; None: in the folder of the four files, under their usual names."""

    vae: Path | None = None
    image_encoder: Path | None = None


def is_moore(folder: Path) -> bool:
    """A folder with any file that only Moore-AnimateAnyone names so: what is missing is then said by `load_moore`."""
    return any((folder / name).is_file() for name in (REFERENCE, DENOISING, POSE))


def named(folder: Path, file: str) -> Path:
    if not (folder / file).is_file():
        raise ScdError(
            f"{folder} has no {file}", f"put it beside the others, or give another folder with --checkpoint (only {MOTION} may be missing)"
        )
    return folder / file


def part_folder(folder: Path, given: Path | None, usual: tuple[str, ...], what: str, flag: str) -> Path:
    """The folder of a part that is not Moore's own."""
    for path in [given] if given else [folder / name for name in usual]:
        if (path / "config.json").is_file():
            return path
    where = f"{given} has no config.json" if given else f"{folder} has no folder {usual[0]}"
    raise ScdError(f"{where}, so there is no {what}", f"give its folder with {flag}")


def part_file(folder: Path, names: tuple[str, ...], flag: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ScdError(f"{folder} has no {names[0]}", f"give a folder that has it, or {names[-1]}, with {flag}")


def is_motion(name: str) -> bool:
    return ".motion_modules." in name


def motion_name(own: str) -> str:
    """The files' name of a motion module's tensor."""
    for ours, theirs in MOTION_NAMES.items():
        own = own.replace(ours, theirs)
    return own


def fill_denoising(model: ReferenceNet, still: Mapping[str, Tensor], motion: Mapping[str, Tensor], where: Path, motion_from: Path) -> None:
    """Load the denoising UNet from its file and the motion modules from theirs, each strictly under the file's own names."""
    own = model.unet.state_dict()
    check_fit({name: tensor for name, tensor in own.items() if not is_motion(name)}, still, where, HINT)
    names = {motion_name(name): name for name in own if is_motion(name)}
    wanted = {theirs: own[ours] for theirs, ours in names.items()}
    wanted |= {name.replace("blocks.0.pos", "blocks.1.pos"): tensor for name, tensor in wanted.items() if name.endswith(POSITIONS)}
    check_fit(wanted, motion, motion_from, HINT)
    for name, table in motion.items():
        if name.endswith(POSITIONS) and not (table - wanted[name]).abs().max() <= SAME_TABLE:
            raise ScdError(f"{motion_from} has a position table of its own in {name}, not the usual sinusoids", HINT)
    model.unet.load_state_dict({**still, **{ours: motion[theirs] for theirs, ours in names.items()}}, strict=True)


def load_clip(model: ReferenceNet, folder: Path) -> None:
    file = part_file(folder, CLIP_FILES, "--image-encoder")
    # older files carry the numbers of the places, which are computed
    weights = {name: tensor for name, tensor in read_tensors(file).items() if not name.endswith(".position_ids")}
    assert model.picture_encoder is not None
    load_strict(model.picture_encoder.clip, weights, file, CLIP_HINT)


def load_vae(folder: Path) -> StableVae:
    file = part_file(folder, VAE_FILES, "--vae")
    vae = StableVae(read_config(folder / "config.json"))
    load_strict(vae.vae, today(read_tensors(file)), file, "give the VAE of Stable Diffusion 1.5 with --vae")
    return vae


def load_moore(folder: Path, parts: Parts, size: tuple[int, int] | None = None) -> SavedModel:
    """The four files of Moore-AnimateAnyone as a model; `motion_module.pth` may be missing where denoising_unet.pth has its tensors, or for
    single pictures.

    `size` (width, height) of the pictures, multiples of 64; None is MADE_FOR. Where both files have motion modules, denoising_unet.pth
    counts, as in the original's loading order. ScdError names the file and lists missing, extra and misshapen keys.
    """
    reference_file, denoising_file, pose_file = (named(folder, name) for name in (REFERENCE, DENOISING, POSE))
    vae_folder = part_folder(folder, parts.vae, VAE_FOLDERS, "VAE", "--vae")
    clip_folder = part_folder(folder, parts.image_encoder, CLIP_FOLDERS, "CLIP image encoder", "--image-encoder")
    motion_file = folder / MOTION
    denoising, pose = read_tensors(denoising_file), read_tensors(pose_file)
    still = {name: tensor for name, tensor in denoising.items() if not is_motion(name)}
    inside = {name: tensor for name, tensor in denoising.items() if is_motion(name)}
    motion = inside or (read_tensors(motion_file) if motion_file.is_file() else {})
    unet = unet_spec(still, denoising_file)
    assert unet.text is not None
    clip_config = clip_folder / "config.json"
    spec = ModelSpec(
        size=size or MADE_FOR, downscale=8, unet=unet, pose=pose_spec(pose, pose_file), motion=motion_spec(motion, len(unet.channels)),
        reference_net=ReferenceNetSpec(pose=False), picture=picture_spec(read_config(clip_config), unet.text.channels, clip_config),
    )  # fmt: skip
    model = ReferenceNet(spec)
    fill_denoising(model, still, motion, denoising_file, denoising_file if inside else motion_file)
    load_strict(model.pose_encoder, pose, pose_file, HINT)
    del denoising, still, inside, motion  # as large as the model
    load_strict(model.reference_unet, read_tensors(reference_file), reference_file, HINT)
    load_clip(model, clip_folder)
    return saved_model(model, load_vae(vae_folder), folder)


def saved_model(model: ReferenceNet, vae: StableVae, folder: Path) -> SavedModel:
    """With how it is sampled and what bundle.json says of it."""
    facts = {
        "kind": "scd", "name": f"Moore-AnimateAnyone ({folder.name})", "step": 0, "data": "none",
        "trained_on": "videos of people that Moore Threads gathered: public weights", "licence": LICENCE,
        "autoencoder": {"layout": STABLE, "config": vae.config}, "recipe": {"data": "", "autoencoder": "", "initial": folder.name},
    }  # fmt: skip
    sampling = SAMPLING if model.spec.motion is None else replace(SAMPLING, window=min(SAMPLING.window, model.spec.motion.max_frames))
    return SavedModel(frozen(model), frozen(vae), SCHEDULE, sampling, facts)
