"""The protocols: how frames are brought to one size, which clips are cut, how frames are pooled, and which metrics stand in the table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from engines.core.errors import UsageError
from engines.core.recipe import nearest
from engines.evaluate.frames import Geometry
from engines.evaluate.metrics import METRICS

Pooling = Literal["videos", "frames"]
CLIP_FRAMES = 16
RESIZES = ("truth", "prediction")


@dataclass(frozen=True, slots=True)
class Protocol:
    """`clip_stride`: frames from one clip of 16 to the next. `pooling`: whether the headline is the mean over videos or over all frames.
    `pictures`: every picture is a sample of its own, as in try-on, and no frame of a video. `metrics`: those of the table."""

    name: str
    about: str
    geometry: Geometry
    pooling: Pooling
    metrics: tuple[str, ...]
    clip_stride: int = CLIP_FRAMES
    pictures: bool = False

    @property
    def text(self) -> str:
        """One line that says all that a figure depends on."""
        g = self.geometry
        size = "native size" if g.size is None else f"{g.size[0]}x{g.size[1]}"
        crop = "no crop" if g.crop == "none" else "centre square crop"
        match = "" if g.match == "none" else f", {'predictions' if g.match == 'truth' else 'truths'} resized to the {g.match}'s size"
        how = f" ({g.resample})" if g.size or g.match != "none" else ""
        clips = "" if self.pictures else f"; clips of {CLIP_FRAMES} frames, stride {self.clip_stride}, never across videos"
        mean = "mean over pictures" if self.pictures else f"headline = mean over {self.pooling}"
        return f"{self.name}: {crop}, {size}{how}{match}{clips}; {mean}"


SQUARE = Geometry(crop="centre-square", size=(256, 256), resample="pillow-bilinear", match="none")
NATIVE = Geometry(crop="none", size=None, resample="area", match="none")
DISCO_ROWS = (
    "fid_pytorchfid", "ssim_gray_uniform7", "psnr", "psnr_legacy_uint8", "lpips_vgg_unnormalized", "l1_disco", "fid_vid_rn50", "fvd_i3d400",
)  # fmt: skip
OWN_ROWS = ("mae", "psnr", "ssim_gray_uniform7", "ssim_rgb_gaussian", "ms_ssim", "dtssd", "flicker", "warping_error")
LEARNED_ROWS = ("lpips_vgg", "fid_clean", "kid_clean", "fid_vid_rn50", "fvd_i3d400", "fvd_videomae")
ALL = (
    Protocol("disco-2023", "DisCo's script as the tables of 2023-25 used it", SQUARE, "frames", DISCO_ROWS, clip_stride=1),
    Protocol(
        "corrected", "DisCo's crop and size with its errors mended, its own columns beside them", SQUARE, "videos",
        (*OWN_ROWS, "l1_disco", "psnr_legacy_uint8", "lpips_vgg_unnormalized", "fid_pytorchfid", *LEARNED_ROWS),
    ),
    Protocol("native", "frames as they are", NATIVE, "videos", (*OWN_ROWS, *LEARNED_ROWS)),
    Protocol(
        "vitonhd-catvton", "CatVTON's eval.py: truths brought to the predictions' size",
        Geometry("none", None, "pillow-lanczos", "prediction"), "frames",
        ("ssim_rgb_gaussian", "lpips_squeeze", "fid_clean", "kid_clean", "psnr", "mae"), pictures=True,
    ),
    Protocol(
        "vitonhd-ladi", "LaDI-VTON's script: 384x512, AlexNet", Geometry("none", (384, 512), "pillow-bilinear", "none"),
        "frames", ("ssim_rgb_gaussian", "lpips_alex", "fid_clean", "kid_clean", "psnr", "mae"), pictures=True,
    ),
    Protocol(
        "vitonhd-hrviton", "HR-VITON's script: grey SSIM, AlexNet at 128x128", NATIVE,
        "frames", ("ssim_gray_gaussian", "lpips_alex_128", "psnr", "mae"), pictures=True,
    ),
)  # fmt: skip
PROTOCOLS = {protocol.name: protocol for protocol in ALL}
DEFAULT = "corrected"


def protocol_of(name: str) -> Protocol:
    """UsageError for an unknown name, with the nearest."""
    if name not in PROTOCOLS:
        raise UsageError(f"there is no protocol {name}", nearest(name, PROTOCOLS))
    return PROTOCOLS[name]


def clip_starts(numbers: Sequence[int], stride: int) -> list[int]:
    """Positions in a video's sorted frame numbers where a clip of 16 frames with consecutive numbers begins, `stride` frames apart.

    With stride 1 every frame with 15 successors starts one, DisCo's rule: max(0, T - 15) of T frames without a gap.
    """
    starts, position = [], 0
    while position + CLIP_FRAMES <= len(numbers):
        if numbers[position + CLIP_FRAMES - 1] - numbers[position] == CLIP_FRAMES - 1:
            starts.append(position)
            position += stride
        else:
            position += 1
    return starts


assert all(name in METRICS for protocol in ALL for name in protocol.metrics)
