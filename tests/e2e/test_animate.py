"""`scd animate` from the command line to the frames in the file: on a tiny random bundle, and on the shipped one."""

import hashlib
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engines.core.bundle import DEFAULT_MODEL, FACTS, SHIPPED
from engines.pose.files import save_track
from tests.e2e.running import FPS, FRAMES, scd, waving_track, write_person, write_skeletons

ROOT = Path(__file__).parents[2]


def decoded(path: Path) -> tuple[NDArray[np.uint8], Fraction, str]:
    """All frames (F, H, W, 3), rate and codec of a video."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
        return frames, Fraction(stream.average_rate or 0), stream.codec_context.name


def test_video_has_the_drivers_frames_and_rate(tiny: Path, reference: Path, driver: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    ran = scd("animate", reference, "--poses", driver, "-o", out, "--model", tiny)
    assert (ran.code, ran.out) == (0, f"{out}\n"), ran.err
    frames, fps, codec = decoded(out)
    assert (len(frames), fps, codec) == (FRAMES, FPS, "h264")
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_same_seed_same_frames_other_seed_other_frames(tiny: Path, reference: Path, driver: Path, tmp_path: Path) -> None:
    digests = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        out = tmp_path / f"{name}.png"
        ran = scd("animate", reference, "--poses", driver, "-o", out, "--model", tiny, "--seed", seed, "--frames", "0:3")
        assert ran.code == 0, ran.err
        digests.append(hashlib.sha256(b"".join(p.read_bytes() for p in sorted(out.iterdir()))).hexdigest())
    assert digests[0] == digests[1] != digests[2]


def test_the_reference_decides_what_is_seen(tiny: Path, reference: Path, driver: Path, tmp_path: Path) -> None:
    """Two references, the same noise: the frames differ, so the reference's keys and values reach the target."""
    other = tmp_path / "other.png"
    Image.fromarray(255 - np.asarray(Image.open(reference))).save(other)
    pictures = []
    for name, picture in (("a", reference), ("b", other)):
        out = tmp_path / f"{name}.png"
        assert scd("animate", picture, "--poses", driver, "-o", out, "--model", tiny, "--frames", "0:1").code == 0
        pictures.append(np.asarray(Image.open(out / "000000.png"), float))
    assert np.abs(pictures[0] - pictures[1]).mean() > 0.5


@pytest.mark.parametrize("size", [(96, 128), (101, 57), (33, 210)])
def test_shape_of_the_reference_is_kept(tiny: Path, driver: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    """Wide, tall and odd pictures are padded and un-padded, never stretched."""
    reference, out = write_person(tmp_path / "person.png", size), tmp_path / "out.png"
    ran = scd("animate", reference, "--poses", driver, "-o", out, "--model", tiny, "--frames", "0:1", "--size", f"{size[0]}x{size[1]}")
    assert ran.code == 0, ran.err
    width, height = Image.open(out / "000000.png").size
    assert abs(width / height / (size[0] / size[1]) - 1) < 0.06


@pytest.mark.parametrize(("ending", "codec"), [(".mp4", "h264"), (".webm", "vp9"), (".gif", "gif")])
def test_the_ending_decides_the_format(tiny: Path, reference: Path, driver: Path, tmp_path: Path, ending: str, codec: str) -> None:
    out = tmp_path / f"out{ending}"
    ran = scd("animate", reference, "--poses", driver, "-o", out, "--model", tiny, "--frames", "2:6")
    assert ran.code == 0, ran.err
    frames, _, found = decoded(out)
    assert (len(frames), found) == (4, codec)


def test_summary_as_json(tiny: Path, reference: Path, driver: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    ran = scd("animate", reference, "--poses", driver, "-o", out, "--model", tiny, "--steps", 2, "--guidance", 2, "--seed", 5, "--json")
    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    assert (said["frames"], said["fps"], said["steps"], said["guidance"], said["seed"]) == (FRAMES, "30000/1001", 2, 2.0, 5)
    assert said["inputs"][str(reference)] == hashlib.sha256(reference.read_bytes()).hexdigest()
    assert said["inputs"][str(driver)] == hashlib.sha256(driver.read_bytes()).hexdigest()
    assert set(said["seconds"]) >= {"load", "reference", "denoise", "decode and write"}
    assert "denoise" in ran.err


def test_keypoints_and_skeletons_drive_alike(tiny: Path, reference: Path, driver: Path, tmp_path: Path) -> None:
    """A keypoint file and the video drawn from it give nearly the same clip; --fps and --ref-pose are taken."""
    track = tmp_path / "wave.npz"
    save_track(track, waving_track(), False)
    made = []
    for name, poses in (("a", driver), ("b", track)):
        out = tmp_path / f"{name}.png"
        ran = scd("animate", reference, "--poses", poses, "-o", out, "--model", tiny, "--ref-pose", track, "--frames", "0:3")
        assert ran.code == 0, ran.err
        made.append(np.stack([np.asarray(Image.open(p), float) for p in sorted(out.iterdir())]))
    assert made[0].shape == made[1].shape
    assert np.abs(made[0] - made[1]).mean() < 12


def test_rate_can_be_changed(tiny: Path, reference: Path, tmp_path: Path) -> None:
    """Twice the rate shows every pose twice, and the clip lasts as long."""
    driver, out = write_skeletons(tmp_path / "slow.mp4", 6, Fraction(10)), tmp_path / "out.mp4"
    ran = scd("animate", reference, "--poses", driver, "-o", out, "--model", tiny, "--fps", "20")
    assert ran.code == 0, ran.err
    frames, fps, _ = decoded(out)
    assert (len(frames), fps) == (12, 20)


def test_a_clip_longer_than_a_window(tiny: Path, reference: Path, tmp_path: Path) -> None:
    driver, out = write_skeletons(tmp_path / "long.mp4", 23), tmp_path / "out.mp4"
    ran = scd("animate", reference, "--poses", driver, "-o", out, "--model", tiny, "--steps", 2)
    assert ran.code == 0, ran.err
    assert len(decoded(out)[0]) == 23


def test_without_o_the_result_lies_in_the_working_directory(
    tiny: Path, reference: Path, driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = scd("animate", reference, "--poses", driver, "--model", tiny, "--frames", ":2")
    assert (ran.code, ran.out) == (0, "person-wave.mp4\n"), ran.err
    assert (tmp_path / "person-wave.mp4").is_file()


def test_overwrite_replaces(tiny: Path, reference: Path, driver: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")
    ran = scd("animate", reference, "--poses", driver, "-o", out, "--model", tiny, "--frames", ":2", "--overwrite")
    assert ran.code == 0, ran.err
    assert len(decoded(out)[0]) == 2


NO_TORCH = """
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "diffusers", "onnx"):
            raise ImportError(f"{name} is behind the wall")
sys.meta_path.insert(0, Wall())
from scd_cli.main import run
run()
"""


def test_a_whole_run_with_torch_blocked(tiny: Path, reference: Path, driver: Path, tmp_path: Path) -> None:
    command = ["animate", reference, "--poses", driver, "-o", tmp_path / "out.mp4", "--model", tiny, "--frames", ":2"]
    done = subprocess.run([sys.executable, "-c", NO_TORCH, *map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_examples_on_the_shipped_model(tmp_path: Path) -> None:
    """README's run, shortened: the shipped bundle on the shipped example gives a picture of a person, not noise."""
    assert (SHIPPED / DEFAULT_MODEL / FACTS).is_file(), "the package lacks its model"
    out = tmp_path / "out.mp4"
    ran = scd("animate", ROOT / "examples" / "ref.png", "--poses", ROOT / "examples" / "dance.mp4", "-o", out, "--frames", "0:4")
    assert ran.code == 0, ran.err
    frames, fps, codec = decoded(out)
    assert (len(frames), codec) == (4, "h264")
    assert fps == decoded(ROOT / "examples" / "dance.mp4")[1]
    reference = np.asarray(Image.open(ROOT / "examples" / "ref.png").convert("RGB"), float)
    corner = slice(0, frames.shape[1] // 8)
    assert np.abs(frames[:, corner].mean((0, 1, 2)) - reference[: reference.shape[0] // 8].mean((0, 1))).max() < 40
