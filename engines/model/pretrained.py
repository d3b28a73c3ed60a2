"""Public weights: Stable Diffusion 1.5 in diffusers' folders, and AnimateDiff's motion modules. safetensors only, strict by key.

Such a model has an untrained pose encoder (its output is zero): it is where training starts, and what full-size export is tried on.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from engines.core.errors import ScdError
from engines.core.schedule import NoiseSchedule
from engines.core.specs import ModelSpec, MotionSpec, PoseEncoderSpec, Sampling, TextSpec, UNetSpec
from engines.model.checkpoint import load_strict
from engines.model.loading import SavedModel
from engines.model.scd import SCD
from engines.model.stable_vae import StableVae, today

PICKLES = (".ckpt", ".pth", ".pt", ".bin", ".pkl")
WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
ADAPTER_FILES = ["config.json", WEIGHTS[0]]
HUB_FILES = [
    "model_index.json", "unet/config.json", f"unet/{WEIGHTS[0]}", "vae/config.json", f"vae/{WEIGHTS[0]}", "text_encoder/config.json",
    "text_encoder/model.safetensors", "tokenizer/*", "scheduler/*",
]  # fmt: skip
POSE_WIDTHS = (16, 32, 96, 256)
SAMPLING = Sampling(steps=25, guidance=2.0, shared_noise=0.0, window=24, overlap=6)
MADE_FOR = (512, 512)
OTHER = "get the file again, or use weights of Stable Diffusion 1.5 and AnimateDiff"
LICENCE = "CreativeML OpenRAIL-M (Stable Diffusion 1.5)"
MOTION_NAMES = {
    ".temporal_transformer": "", ".attention_blocks.0": ".attn1", ".attention_blocks.1": ".attn2", ".norms.0": ".norm1",
    ".norms.1": ".norm2", ".ff_norm": ".norm3",
}  # fmt: skip


def is_diffusers(path: Path) -> bool:
    """A pipeline folder of diffusers."""
    return (path / "model_index.json").is_file() or (path / "unet" / "config.json").is_file()


def is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()


def from_hub(name: str, patterns: list[str]) -> Path:
    """The files of a hub repository in the user's cache, downloaded where they are not there yet. ScdError when that fails."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # the hub's client, requests and the file system all raise their own
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ScdError(f"{name} is no folder here and could not be fetched from the hub ({first})", "give a folder of its files") from error


def refuse_pickle(path: Path) -> None:
    if path.suffix.lower() in PICKLES:
        raise ScdError(f"{path} is a pickle, which can run code when it is opened", "use the same weights as a .safetensors file")


def read_weights(path: Path) -> dict[str, Tensor]:
    """A safetensors file, or the one in a folder of diffusers. ScdError for pickles and for what is neither."""
    refuse_pickle(path)
    if path.is_dir():
        found = [path / name for name in WEIGHTS if (path / name).is_file()]
        if not found:
            pickles = sorted(p.name for p in path.iterdir() if p.suffix.lower() in PICKLES)
            holds = f" (it holds {pickles[0]}, a pickle, which scd does not open)" if pickles else ""
            raise ScdError(f"{path} has no {WEIGHTS[0]}{holds}", "get the .safetensors variant of the weights")
        path = found[0]
    try:
        return load_file(path)
    except Exception as error:  # safetensors' own error class has no public base
        raise ScdError(f"the weights {path} cannot be read ({error})", "get the file again") from error


def read_config(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ScdError(f"{path} cannot be read ({error})", "give a folder as diffusers writes it") from error
    if not isinstance(data, dict):
        raise ScdError(f"{path} is no configuration", "give a folder as diffusers writes it")
    return data


def unet_spec(config: Mapping[str, Any], where: Path) -> UNetSpec:
    """The spec of a diffusers UNet2DConditionModel. ScdError names what of it this project's UNet has not."""
    plain = {
        "use_linear_projection": False, "class_embed_type": None, "addition_embed_type": None, "encoder_hid_dim_type": None,
        "act_fn": "silu", "resnet_time_scale_shift": "default", "dual_cross_attention": False, "only_cross_attention": False,
        "flip_sin_to_cos": True, "freq_shift": 0, "norm_eps": 1e-05, "mid_block_type": "UNetMidBlock2DCrossAttn",
    }  # fmt: skip
    for key, value in plain.items():
        if config.get(key, value) != value:
            raise ScdError(f"{where} has {key} = {config[key]}, not {value}", "use a UNet of Stable Diffusion 1.5's kind")
    heads, text, layers = (config.get(k) for k in ("attention_head_dim", "cross_attention_dim", "layers_per_block"))
    if not (isinstance(heads, int) and isinstance(text, int) and isinstance(layers, int)):
        raise ScdError(
            f"{where} gives attention_head_dim, cross_attention_dim or layers_per_block level by level", "use Stable Diffusion 1.5"
        )
    attention = tuple(kind == "CrossAttnDownBlock2D" for kind in config["down_block_types"])
    return UNetSpec(
        latent_channels=config["in_channels"], channels=tuple(config["block_out_channels"]), attention=attention, layers_per_block=layers,
        head_size=0, feed_forward_ratio=4, groups=config.get("norm_num_groups", 32), heads=heads,
        text=TextSpec(tokens=77, channels=text),
    )  # fmt: skip


def noise_schedule(config: Mapping[str, Any], where: Path) -> NoiseSchedule:
    if config.get("beta_schedule") != "scaled_linear":
        raise ScdError(
            f"{where} has beta_schedule = {config.get('beta_schedule')}, not scaled_linear", "use Stable Diffusion 1.5's scheduler"
        )
    return NoiseSchedule(
        train_timesteps=config["num_train_timesteps"], beta_start=config["beta_start"], beta_end=config["beta_end"],
        zero_terminal_snr=bool(config.get("rescale_betas_zero_snr")), prediction_type=config.get("prediction_type", "epsilon"),
    )  # fmt: skip


def empty_prompt(folder: Path) -> Tensor:
    """The text encoder's embedding of the empty prompt, (1, tokens, channels), float32."""
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(str(folder / "tokenizer"))
    encoder = CLIPTextModel.from_pretrained(str(folder / "text_encoder"), use_safetensors=True).float().eval()
    tokens = tokenizer("", padding="max_length", max_length=encoder.config.max_position_embeddings, return_tensors="pt")
    with torch.inference_mode():
        return encoder(tokens.input_ids).last_hidden_state.clone()


def stable_unet(folder: Path) -> tuple[UNetSpec, dict[str, Tensor]]:
    """The UNet of a diffusers folder: its spec, and its float32 weights under the names of engines.model.unet, the empty prompt's embedding
    among them."""
    where = folder / "unet" / "config.json"
    spec = unet_spec(read_config(where), where)
    weights, prompt = read_weights(folder / "unet"), empty_prompt(folder)
    assert spec.text is not None
    return replace(spec, text=TextSpec(tokens=prompt.shape[1], channels=spec.text.channels)), {**floats(weights), "prompt": prompt}


def stable_vae(folder: Path) -> StableVae:
    """The autoencoder of a diffusers folder, frozen."""
    model = StableVae(read_config(folder / "vae" / "config.json"))
    load_strict(model.vae, today(floats(read_weights(folder / "vae"))), folder / "vae", OTHER)
    out: StableVae = frozen(model)
    return out


def load_stable_diffusion(folder: Path, size: tuple[int, int] = MADE_FOR) -> SavedModel:
    """A diffusers folder of Stable Diffusion 1.5 (unet, vae, text_encoder, tokenizer, scheduler) as an SCD-I.

    ScdError lists missing, extra and misshapen keys, and refuses pickles and other architectures.
    """
    scheduler = folder / "scheduler" / "scheduler_config.json"
    schedule = noise_schedule(read_config(scheduler), scheduler)
    unet, weights = stable_unet(folder)
    pose = PoseEncoderSpec(channels=POSE_WIDTHS, position_frequencies=0, layout="controlnet")
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the pose encoder is new: the same at every load, so that the same weights give the same bundle
        model = SCD(ModelSpec(size=size, downscale=8, unet=unet, pose=pose))
    load_strict(model.unet, weights, folder / "unet", OTHER)
    vae = stable_vae(folder)
    facts = {
        "kind": "scd", "name": f"{folder.name}, untrained", "step": 0, "data": "none", "trained_on": "nothing yet: public weights",
        "licence": LICENCE, "autoencoder": vae.facts(),
        "recipe": {"data": "", "autoencoder": "", "initial": folder.name},
    }  # fmt: skip
    return SavedModel(frozen(model), vae, schedule, SAMPLING, facts)


def frozen(module: Any) -> Any:
    return module.requires_grad_(False).eval()


def floats(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float() for name, tensor in weights.items()}


def motion_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """AnimateDiff's own names (mm_sd_v15_v2) as diffusers' MotionAdapter has them; the position tables are computed, not loaded."""
    out = {}
    for name, tensor in weights.items():
        if "pos_encoder" in name or name.endswith("pos_embed.pe"):
            continue
        for old, new in MOTION_NAMES.items():
            name = name.replace(old, new)
        out[name.removeprefix("module.")] = tensor
    return out


def motion_spec(path: Path, weights: Mapping[str, Tensor], unet: UNetSpec) -> MotionSpec:
    """From MotionAdapter's config.json beside the weights, or AnimateDiff's usual numbers: 8 heads and the position table's length."""
    config = read_config(path / "config.json") if (path / "config.json").is_file() else {}
    tables = [tensor.shape[1] for name, tensor in weights.items() if name.endswith(".pe")]
    frames = config.get("motion_max_seq_length") or (tables[0] if tables else 32)
    levels = tuple(i for i in range(len(unet.channels)) if any(name.startswith(f"down_blocks.{i}.motion_modules") for name in weights))
    return MotionSpec(
        levels=levels, max_frames=frames, head_size=0, feed_forward_ratio=4, layout="animatediff",
        middle=any(name.startswith("mid_block.motion_modules") for name in weights), heads=config.get("motion_num_attention_heads", 8),
    )  # fmt: skip


def read_adapter(path: Path, unet: UNetSpec) -> tuple[MotionSpec, dict[str, Tensor]]:
    """AnimateDiff's motion modules (a MotionAdapter folder, or one .safetensors file in either layout): what they are, and their float32
    weights under the names of engines.model.unet, without the position tables, which are computed."""
    raw = read_weights(path)
    return motion_spec(path, raw, unet), floats(motion_names(raw))


def add_motion(saved: SavedModel, path: Path) -> SavedModel:
    """The SCD-V of an SCD-I and AnimateDiff's motion modules, as `read_adapter` takes them."""
    old = saved.model
    if old.spec.motion is not None:
        raise ScdError(f"the checkpoint has motion modules already, and {path} would replace them", "leave --motion-adapter out")
    if old.spec.reference_net is not None:
        raise ScdError(f"{path} is for models of one UNet, and the checkpoint has two", "leave --motion-adapter out")
    motion, added = read_adapter(path, old.spec.unet)
    model = SCD(replace(old.spec, motion=motion))
    tables = {name: tensor for name, tensor in model.unet.state_dict().items() if name.endswith("pos_embed.pe")}
    load_strict(model.unet, {**old.unet.state_dict(), **tables, **added}, path, OTHER)
    model.pose_encoder.load_state_dict(old.pose_encoder.state_dict())
    facts = saved.facts | {"name": f"{saved.facts['name']} with {path.stem}", "motion": path.name}
    return SavedModel(frozen(model), saved.autoencoder, saved.schedule, saved.sampling, facts)
