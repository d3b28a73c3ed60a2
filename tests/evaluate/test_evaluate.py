"""`scd evaluate` as a whole: what it writes, that values are those of the metrics themselves, what it skips and refuses."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engines.core.errors import ScdError, UsageError
from engines.core.report import NullReport
from engines.evaluate.evaluate import evaluate
from engines.evaluate.metrics import WEIGHT_FREE
from engines.evaluate.pixel import Compared, psnr, ssim_rgb_gaussian
from engines.evaluate.request import EvaluateRequest

SIZE = (64, 48)


def frame(video: int, index: int, noise: float = 0) -> np.ndarray:
    """A wave that drifts; the prediction with grain."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    wave = 128 + 80 * np.sin((x + 2 * index) / (5 + video))[..., None] * np.cos(y / 7)[..., None] * np.array([1, 0.8, 0.6])
    return np.clip(wave + np.random.default_rng([video, index]).normal(0, noise, wave.shape), 0, 255).astype(np.uint8)


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


@pytest.fixture
def sides(tmp_path: Path) -> Path:
    """pred/ and truth/: three videos of 17, 18 and 19 frames, the predictions ever noisier."""
    for video in range(3):
        for index in range(17 + video):
            save(tmp_path / "truth" / f"v{video}" / f"{index:04d}.png", frame(video, index))
            save(tmp_path / "pred" / f"v{video}" / f"{index:04d}.png", frame(video, index, 4 + 4 * video))
    return tmp_path


def run(root: Path, **options: Any) -> dict[str, Any]:
    usual = {"pred": root / "pred", "gt": root / "truth", "out": root / "out", "protocol": "native", "media": 0}
    return evaluate(EvaluateRequest(**usual | options), NullReport())


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {metric["name"]: metric for metric in document["metrics"]}


def test_values_are_those_of_the_metrics(sides: Path) -> None:
    found = by_name(run(sides, metrics=("psnr", "ssim_rgb_gaussian")))
    for name, metric in (("psnr", psnr), ("ssim_rgb_gaussian", ssim_rgb_gaussian)):
        means = []
        for video in range(3):
            rows = [metric(Compared(frame(video, i, 4 + 4 * video), frame(video, i))) for i in range(17 + video)]
            means.append(np.mean(rows))
        assert found[name]["value"] == pytest.approx(np.mean(means), rel=1e-9)
        weighted = np.average(means, weights=[17, 18, 19])
        assert found[name]["pooled"] == pytest.approx({"videos": np.mean(means), "frames": weighted})
        assert found[name]["n"] == {"videos": 3, "frames": 54}
        assert found[name]["ci"][0] <= found[name]["value"] <= found[name]["ci"][1]


def test_what_is_written(sides: Path) -> None:
    document = run(sides)
    folder = sides / "out"
    assert {p.name for p in folder.iterdir()} >= {"metrics.json", "metrics.csv", "per_video.csv", "report.html"}
    assert json.loads((folder / "metrics.json").read_text()) == json.loads(json.dumps(document))
    assert {m["name"] for m in document["metrics"]} == set(WEIGHT_FREE) - {"l1_disco", "psnr_legacy_uint8", "ssim_gray_gaussian", "ms_ssim"}
    reasons = {s["name"]: s["reason"] for s in document["skipped"]}
    assert reasons["ms_ssim"] == "skipped: frames are smaller than 161 pixels"
    assert reasons["fvd_i3d400"].startswith("skipped: i3d_pretrained_400.pt not found, get it from ")
    assert document["per_frame"]["v1"]["metrics"]["dtssd"][0] is None
    assert len(document["per_frame"]["v1"]["metrics"]["dtssd"]) == len(document["per_frame"]["v1"]["numbers"]) == 18
    assert document["inputs"]["videos"] == 3
    with (folder / "per_video.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["video"] for row in rows] == ["v0", "v1", "v2"]
    assert float(rows[2]["psnr"]) == pytest.approx(document["per_video"]["v2"]["metrics"]["psnr"])
    with (folder / "metrics.csv").open() as file:
        assert {row["metric"] for row in csv.DictReader(file)} == {m["name"] for m in document["metrics"]} | set(reasons)


def test_the_same_inputs_give_the_same_figures(sides: Path) -> None:
    first, again = run(sides), run(sides, overwrite=True)
    for document in (first, again):
        document.pop("made")
    assert first == again


def test_truth_against_itself(sides: Path) -> None:
    found = by_name(run(sides, pred=sides / "truth"))
    assert found["psnr"]["value"] == 100
    assert found["mae"]["value"] == found["dtssd"]["value"] == 0
    assert found["ssim_gray_uniform7"]["value"] == pytest.approx(1)
    for metric in found.values():
        if metric["name"] not in ("flicker", "warping_error"):
            assert metric["controls"]["identity"] == pytest.approx(metric["value"])


def test_disco_pools_frames_and_corrected_pools_videos(sides: Path) -> None:
    for protocol, pooling in (("disco-2023", "frames"), ("corrected", "videos")):
        found = by_name(run(sides, protocol=protocol, metrics=("psnr", "l1_disco"), overwrite=True))
        assert found["psnr"]["value"] == found["psnr"]["pooled"][pooling]
        assert found["psnr"]["pooled"]["frames"] != found["psnr"]["pooled"]["videos"]


def test_masks_choose_what_counts(sides: Path) -> None:
    for video in range(3):
        for index in range(17 + video):
            mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
            mask[:, : SIZE[0] // 2] = 255
            save(sides / "masks" / f"v{video}" / f"{index:04d}.png", mask)
            half = frame(video, index, 20)
            half[:, : SIZE[0] // 2] = frame(video, index)[:, : SIZE[0] // 2]
            save(sides / "half" / f"v{video}" / f"{index:04d}.png", half)
    found = by_name(run(sides, pred=sides / "half", masks=sides / "masks"))
    assert found["psnr_masked"]["value"] == 100
    assert found["psnr"]["value"] < 40
    assert 0.9 < found["ssim_masked"]["value"] < 1  # windows reach over the mask's border


def test_a_split_is_obeyed(sides: Path) -> None:
    (sides / "split.txt").write_text("v2\nv0\n")
    document = run(sides, split=sides / "split.txt")
    assert list(document["per_video"]) == ["v2", "v0"]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"protocol": "naive"}, UsageError, "there is no protocol naive"),
        ({"metrics": ("psnr", "ssim")}, UsageError, "there is no metric ssim"),
        ({"resize": "both"}, UsageError, "--resize both is no rule"),
        ({"protocol": "corrected", "resize": "truth"}, UsageError, "--resize means nothing to --protocol corrected"),
        ({"require": True}, ScdError, "the metric ms_ssim cannot be computed: frames are smaller than 161 pixels"),
        ({"metrics": ("fid_clean",)}, ScdError, "no metric could be computed (fid_clean: pt_inception-2015-12-05-6726825d.pth not found"),
        ({"metrics": ("psnr_masked",)}, ScdError, "no masks are given (--masks)"),
        ({"metrics": ("dino_reference",)}, ScdError, "no reference pictures are known, name them with --reference"),
    ],
)
def test_refusals_leave_nothing_behind(sides: Path, options: dict[str, Any], error: type[ScdError], text: str) -> None:
    with pytest.raises(error) as caught:
        run(sides, **options)
    assert text in str(caught.value)
    assert {p.name for p in sides.iterdir()} == {"pred", "truth"}


def test_an_existing_folder_gives_way_to_overwrite_alone(sides: Path) -> None:
    run(sides, metrics=("psnr",))
    with pytest.raises(ScdError, match="exists already; add --overwrite"):
        run(sides, metrics=("psnr",))
    run(sides, metrics=("mae",), overwrite=True)
    assert "mae" in (sides / "out" / "metrics.csv").read_text()
    (sides / "mine").mkdir()
    (sides / "mine" / "notes.txt").write_text("dear diary")
    with pytest.raises(ScdError, match="other things in it"):
        run(sides, out=sides / "mine", overwrite=True)


def pictures(folder: Path, names: Sequence[str], noise: float) -> None:
    for number, name in enumerate(names):
        save(folder / name, frame(number, 0, noise))


def test_tryon_pictures_are_samples_of_their_own(tmp_path: Path) -> None:
    pictures(tmp_path / "VITON" / "test" / "image", ["00006_00.jpg", "00008_00.jpg", "00013_00.jpg"], 0)
    pictures(tmp_path / "pred", ["00006_00.png", "00008_00.png", "00013_00.png"], 6)
    document = run(tmp_path, gt=tmp_path / "VITON" / "test", protocol="vitonhd-catvton")
    assert by_name(document)["ssim_rgb_gaussian"]["n"] == {"videos": 3, "frames": 3}
    assert not any("JPEG" in warning for warning in document["warnings"]), "PNG results against VITON-HD's JPEGs are as it should be"
    assert document["protocol"]["pictures"]


def test_networks_from_files_to_figures(sides: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LPIPS and FID-VID with random weights in the real files' layouts: values per frame, an interval, controls, checksums."""
    pytest.importorskip("torch")
    from tests.evaluate import network_files

    monkeypatch.setenv("SCD_CACHE", str(sides / "cache"))
    weights = sides / "weights"
    weights.mkdir()
    network_files.write(weights, "squeezenet1_1-b8a52dc0", "squeeze", "resnet-50-kinetics")
    options = {"metrics": ("lpips_squeeze", "fid_vid_rn50"), "weights_dir": weights, "real_floor": True, "require": True}
    document, again = run(sides, **options), run(sides, overwrite=True, **options)
    found = by_name(document)
    assert again["metrics"] == document["metrics"]
    lpips, fid = found["lpips_squeeze"], found["fid_vid_rn50"]
    assert [len(v["metrics"]["lpips_squeeze"]) for v in document["per_frame"].values()] == [17, 18, 19]
    means = [v["metrics"]["lpips_squeeze"] for v in document["per_video"].values()]
    assert means == sorted(means), "the predictions are ever noisier"
    assert fid["n"] == {"videos": 3, "clips": 3}
    assert fid["value"] > 10 * fid["controls"]["identity"]
    assert [w["file"] for w in fid["weights"]] == ["resnet-50-kinetics.safetensors"]
    assert len(lpips["weights"]) == 2
    assert all(len(w["sha256"]) == 64 for metric in found.values() for w in metric["weights"])
