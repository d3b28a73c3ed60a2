"""The recipe of a training run as dataclasses: complete and strict, no default lives here (see recipes/)."""

from dataclasses import dataclass
from typing import Literal

from engines.core.schedule import NoiseSchedule
from engines.core.specs import AutoencoderSpec, ModelSpec, Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Optim:
    """AdamW, with Muon for the inner matrices where `muon_learning_rate` is not 0 (engines/train/optimizer.py).

    Both rates warm up, stay, and fall linearly to nothing over the last `decay_steps` of `steps`. `betas` are AdamW's. `adamw8bit` keeps
    its moments in 8 bits. `accumulate`: the batch of a step is computed in so many parts; `checkpointing` computes activations again in the
    backward pass instead of keeping them. `ema_decay` 0: no average is kept, the weights themselves are saved.
    """

    optimizer: Literal["adamw", "adamw8bit"]
    steps: int
    learning_rate: float
    muon_learning_rate: float
    warmup_steps: int
    decay_steps: int
    weight_decay: float
    betas: tuple[float, float]
    clip_norm: float
    ema_decay: float
    precision: Literal["bf16", "fp16", "fp32"]
    accumulate: int
    checkpointing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What the squared error of the prediction is weighed by, and what noise it is of.

    `channel_weights`: latent channels count as much as the picture needs them (engines/train/latents.py), else alike. `min_snr_gamma`:
    timesteps are weighed by min(SNR, gamma) (Hang et al. 2023), 0 weighs all alike. `noise_offset`: standard deviation of what a
    channel's noise has in common over the whole picture (Guttenberg 2023).
    """

    channel_weights: bool
    min_snr_gamma: float
    noise_offset: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    """How often, in steps; `minutes_per_checkpoint` bounds what a power cut costs; the `keep` newest checkpoints stay on disk, and the
    `keep_best` of best validation. `trackers`, besides log.jsonl: "tensorboard", "wandb", "trackio"."""

    log_every: int
    validate_every: int
    minutes_per_checkpoint: float
    keep: int
    keep_best: int
    trackers: tuple[str, ...]
    validation_pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderRecipe:
    """Loss = L1 + `mse_weight` MSE + `kl_weight` KL summed over the latents of a picture."""

    kind: Literal["autoencoder"]
    name: str
    seed: int
    data: str
    size: tuple[int, int]
    batch: int
    mse_weight: float
    kl_weight: float
    autoencoder: AutoencoderSpec
    optim: Optim
    logging: Logging


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """One step reads `references` references and, for each, `targets` frames of its clip (consecutive ones for SCD-V).

    One reference pass serves all its targets, which is the method's own economy. `drop_reference` is the share trained with the
    null reference (guidance), `drop_ref_pose` the share whose reference pose is black (a reference without known pose), `drop_pose` the
    share whose targets' poses are. With `drop_reference` 1 there is no reference pass at all: a base model of pictures alone.
    `buckets`: picture sizes (width, height) besides the model's; a clip is seen at the one whose shape is nearest to its own, and a step's
    clips share theirs.
    `shared_noise`: range of the share (of the variance) of their noise that the targets of a reference have in common.
    `own_steps`: 0 trains on the noised truth; K > 0 on what the model itself makes of pure noise in 1 to K DDIM steps
    (engines/train/rollout.py).
    `timestep_shift` s draws t = s u / (1 + (s - 1) u): above 1 it favours the noisy end, where the picture is laid out.
    """

    references: int
    targets: int
    consecutive: bool
    drop_reference: float
    drop_ref_pose: float
    drop_pose: float
    buckets: tuple[tuple[int, int], ...]
    timestep_shift: float
    shared_noise: tuple[float, float]
    own_steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """`share` of the references is seen anew with its targets: mirrored or not, up to `zoom` times closer, hues turned by up to `hue`
    degrees, contrast and brightness changed by up to `light`. Their latents are not cached: each costs a pass of the encoder."""

    share: float
    zoom: float
    hue: float
    light: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseStyle:
    """Random ways to draw the skeleton: stick width factor range, and the shares drawn without hands or without face."""

    width_range: tuple[float, float]
    drop_hands: float
    drop_face: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScdRecipe:
    """`autoencoder` and `initial`: a checkpoint of scd train, a bundle, the name of a shipped one, or (with "" for `autoencoder`) a
    diffusers folder or hub id of Stable Diffusion 1.5 as `initial`; "" for `initial` starts from nothing. `motion_adapter`: AnimateDiff's
    motion modules, a file, folder or hub id ("" = fresh ones). With `train_only_motion` the spatial weights stay."""

    kind: Literal["scd"]
    name: str
    seed: int
    data: str
    autoencoder: str
    initial: str
    motion_adapter: str
    train_only_motion: bool
    model: ModelSpec
    schedule: NoiseSchedule
    loss: Objective
    batching: Batching
    augmentation: Augmentation
    pose_style: PoseStyle
    sampling: Sampling
    optim: Optim
    logging: Logging


@dataclass(frozen=True, slots=True, kw_only=True)
class TryonBatching:
    """One step reads `pairs` garments, each with the person who wears it. `laid`: garments are shown upon the person who will wear them
    (engines.pose.laid), in training and by `scd tryon`, else as they are. `worn`: the share whose garment is shown not flat but as that
    person wears it, cut out, at another place and scale, or with `laid` upon them. `drop_reference` is the share trained with the null
    reference (guidance), `drop_pose` the share whose person has no known pose (black). `timestep_shift` as in Batching. `from_laid`: the
    share whose latents are the laid garment's, noised, as sampling with a `strength` below 1 finds them; the truth is still the person."""

    pairs: int
    laid: bool
    worn: float
    drop_reference: float
    drop_pose: float
    timestep_shift: float
    from_laid: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """How the data's masks are varied, so that none gives away the garment's outline: `box` is the share replaced by the rectangle around
    them, the others are grown by up to `grow` of the picture's height. `margin`: range of what is left around a mask when its surroundings
    are cut out (engines.media.crop)."""

    box: float
    grow: float
    margin: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TryonRecipe:
    """Try-on, METHOD A.2. `autoencoder` and `initial`: a checkpoint of scd train, a bundle, the name of a shipped one, or (with ""
    for `autoencoder`) a diffusers folder or hub id of Stable Diffusion 1.5 as `initial`. `drop_leaked`: without the garments of the test
    part."""

    kind: Literal["tryon"]
    name: str
    seed: int
    data: str
    autoencoder: str
    initial: str
    drop_leaked: bool
    model: ModelSpec
    schedule: NoiseSchedule
    loss: Objective
    batching: TryonBatching
    masks: Masks
    augmentation: Augmentation
    pose_style: PoseStyle
    sampling: Sampling
    optim: Optim
    logging: Logging


Recipe = AutoencoderRecipe | ScdRecipe | TryonRecipe
