"""The registry of metrics: what each is called, measures and needs. What computes them is elsewhere, by their names."""

from dataclasses import dataclass
from typing import Literal

from engines.core.errors import UsageError
from engines.core.recipe import nearest
from engines.evaluate.motion import TRANSITION_METRICS
from engines.evaluate.pixel import FRAME_METRICS, MASKED_METRICS

Better = Literal["higher", "lower"]
Scope = Literal["frame", "transition", "corpus"]
Family = Literal["pixel", "masked", "transition", "distance", "pictures", "clips", "pose", "face", "subject"]


@dataclass(frozen=True, slots=True)
class Metric:
    """`scope`: what has a value of its own; corpus: only all videos together. `needs`: keys of weights.json; `source`: paper and code."""

    name: str
    title: str
    unit: str
    better: Better
    family: Family
    source: str
    needs: tuple[str, ...] = ()

    @property
    def scope(self) -> Scope:
        if self.family in ("pictures", "clips"):
            return "corpus"
        return "transition" if self.family == "transition" else "frame"


DISCO = "DisCo's script (Wang et al. 2023)"
LPIPS = "Zhang et al. 2018, LPIPS v0.1"
FID = "Heusel et al. 2017"
KID = "Binkowski et al. 2018, unbiased, all pictures at once, times 1000"
VBENCH = "VBench's subject consistency (Huang et al. 2024)"

ALL = (
    Metric("l1_disco", "L1 (DisCo)", "", "lower", "pixel", f"{DISCO}: mean absolute error in grey levels, divided by height x width"),
    Metric("mae", "MAE", "grey levels", "lower", "pixel", "mean absolute error, 0..255"),
    Metric("psnr", "PSNR", "dB", "higher", "pixel", "floating point, all channels together, at most 100"),
    Metric("psnr_legacy_uint8", "PSNR, legacy uint8", "dB", "higher", "pixel", f"{DISCO} before 2024-04: overflows, says about 30"),
    Metric("ssim_gray_uniform7", "SSIM (DisCo)", "", "higher", "pixel", f"{DISCO}: grey, uniform 7x7, sample covariance (scikit-image)"),
    Metric("ssim_rgb_gaussian", "SSIM (RGB)", "", "higher", "pixel", "Wang et al. 2004 as torchmetrics: RGB, Gaussian 11, sigma 1.5"),
    Metric("ssim_gray_gaussian", "SSIM (grey, Gaussian)", "", "higher", "pixel", "HR-VITON: grey, Gaussian 11, population covariance"),
    Metric("ms_ssim", "MS-SSIM", "", "higher", "pixel", "Wang, Simoncelli, Bovik 2003 as torchmetrics; from 161 pixels a side"),
    Metric("psnr_masked", "PSNR inside the mask", "dB", "higher", "masked", "as PSNR, over the mask's pixels"),
    Metric("ssim_masked", "SSIM inside the mask", "", "higher", "masked", "as SSIM (RGB), mean of its map over the mask"),
    Metric("dtssd", "dtSSD", "grey levels", "lower", "transition", "Erofeev et al. 2015: RMS difference of the temporal changes"),
    Metric("flicker", "Flicker", "grey levels", "lower", "transition", "mean absolute change where the truth stands still (2 grey levels)"),
    Metric("warping_error", "Warping error", "", "lower", "transition", "Lai et al. 2018 with DIS optical flow of the truth"),
    Metric("lpips_vgg", "LPIPS (VGG)", "", "lower", "distance", f"{LPIPS}, input in [-1, 1]", ("vgg16", "lpips_vgg")),
    Metric(
        "lpips_vgg_unnormalized", "LPIPS (VGG), unnormalised", "", "lower", "distance", f"{LPIPS}, input left in [0, 1] as {DISCO}",
        ("vgg16", "lpips_vgg"),
    ),
    Metric("lpips_alex", "LPIPS (AlexNet)", "", "lower", "distance", f"{LPIPS}, input in [-1, 1]", ("alexnet", "lpips_alex")),
    Metric(
        "lpips_alex_128", "LPIPS (AlexNet, 128x128)", "", "lower", "distance", f"{LPIPS}, shrunk to 128x128 as HR-VITON's script",
        ("alexnet", "lpips_alex"),
    ),
    Metric("lpips_squeeze", "LPIPS (SqueezeNet)", "", "lower", "distance", f"{LPIPS}, input in [-1, 1]", ("squeezenet", "lpips_squeeze")),
    Metric("fid_pytorchfid", "FID (pytorch-fid)", "", "lower", "pictures", f"{FID}; pytorch-fid's resize", ("inception_fid",)),
    Metric("fid_clean", "FID (clean-fid)", "", "lower", "pictures", f"{FID}; clean-fid's resize (Parmar et al. 2022)", ("inception_fid",)),
    Metric("kid_pytorchfid", "KID x1e3 (pytorch-fid)", "x1e-3", "lower", "pictures", f"{KID}; pytorch-fid's resize", ("inception_fid",)),
    Metric("kid_clean", "KID x1e3 (clean-fid)", "x1e-3", "lower", "pictures", f"{KID}; clean-fid's resize", ("inception_fid",)),
    Metric("fid_vid_rn50", "FID-VID", "", "lower", "clips", f"{DISCO}: Fréchet distance, Kinetics 3D ResNet-50, 2048-d", ("resnet3d50",)),
    Metric("fvd_i3d400", "FVD", "", "lower", "clips", f"Unterthiner et al. 2018 as {DISCO}: I3D, 400 logits", ("i3d400",)),
    Metric("fvd_videomae", "FVD (VideoMAE)", "", "lower", "clips", "Ge et al. 2024: Fréchet distance on VideoMAE-v2", ("videomae",)),
    Metric("pck", "PCK@0.1 torso", "", "higher", "pose", "share of the truth's body joints found within a tenth of its torso"),
    Metric("oks", "OKS", "", "higher", "pose", "COCO's object keypoint similarity, 17 body joints"),
    Metric("face_similarity", "Face similarity", "", "higher", "face", "cosine of face embeddings with the reference", ("yunet", "sface")),
    Metric("face_detection_rate", "Faces found", "", "higher", "face", "share of frames in which a face is found", ("yunet", "sface")),
    Metric("dino_reference", "DINO-I", "", "higher", "subject", "cosine of DINO embeddings, reference and frame", ("dino",)),
    Metric("clip_reference", "CLIP-I", "", "higher", "subject", "cosine of CLIP embeddings, reference and frame", ("clip",)),
    Metric("dino_consistency", "Subject consistency", "", "higher", "subject", f"{VBENCH}, DINO", ("dino",)),
    Metric("clip_consistency", "Consistency (CLIP)", "", "higher", "subject", f"{VBENCH}, on CLIP", ("clip",)),
)  # fmt: skip
METRICS = {metric.name: metric for metric in ALL}
WEIGHT_FREE = (*FRAME_METRICS, *TRANSITION_METRICS)
MASKED = tuple(MASKED_METRICS)


def chosen(names: tuple[str, ...]) -> tuple[Metric, ...]:
    """The metrics of these names, in the registry's order. UsageError for an unknown one, with the nearest name."""
    for name in names:
        if name not in METRICS:
            raise UsageError(f"there is no metric {name}", f"{nearest(name, METRICS)}; scd evaluate --list shows them")
    return tuple(metric for metric in ALL if metric.name in names)
