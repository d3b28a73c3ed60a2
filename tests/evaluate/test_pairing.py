"""Pairs of prediction and truth, and every way in which they can go wrong."""

import os
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from engines.core.errors import ScdError
from engines.evaluate.frames import Geometry
from engines.evaluate.layouts import find_videos
from engines.evaluate.pairing import pair
from engines.evaluate.pairs import Pair, digest
from engines.evaluate.splits import read_split
from engines.evaluate.suspicions import check_sizes
from engines.media.images import read_image
from engines.media.writer import open_writer
from tests.evaluate import trees
from tests.media import making

NATIVE = Geometry("none", None, "area", "none")
SQUARE = Geometry("centre-square", (32, 32), "pillow-bilinear", "none")


def pairs_of(root: Path, pictures: bool = False, renumber: bool = False, split: str | None = None) -> tuple[list[Pair], list[str]]:
    """Of root/pred and root/truth."""
    pred, truth = (find_videos(root / side, f"the {role}", pictures) for side, role in (("pred", "prediction"), ("truth", "truth")))
    ids = None
    if split is not None:
        (root / "split.txt").write_text(split)
        ids = read_split(root / "split.txt")
    return pair(pred, truth, ids, renumber)


def both(root: Path, **truth: object) -> Path:
    trees.videos(root / "pred", shift=5)
    trees.videos(root / "truth", **truth)  # type: ignore[arg-type]
    return root


def test_frames_pair_by_video_and_number(tmp_path: Path) -> None:
    pairs, warnings = pairs_of(both(tmp_path))
    assert warnings == []
    assert [p.id for p in pairs] == ["a", "b"]
    for p in pairs:
        for number, pred, truth in p.frames(NATIVE):
            assert truth[0, 0, 0] == trees.shade(p.id, number)
            assert pred[0, 0, 0] == truth[0, 0, 0] + 5
        assert [f[0, 0, 0] for f in p.pred_frames(NATIVE)] == [trees.shade(p.id, n) + 5 for n in p.numbers]
        assert [f[0, 0, 0] for f in p.truth_frames(NATIVE)] == [trees.shade(p.id, n) for n in p.numbers]


def test_layouts_may_differ(tmp_path: Path) -> None:
    trees.tiktok(tmp_path / "truth")
    trees.videos(tmp_path / "pred", ("00335", "00336"), numbers=range(1, 4), shift=1)
    pairs, _ = pairs_of(tmp_path)
    assert [(p.id, p.numbers) for p in pairs] == [("00335", (1, 2, 3)), ("00336", (1, 2, 3))]


def test_one_video_each_is_a_pair_whatever_its_name(tmp_path: Path) -> None:
    trees.frames(tmp_path / "pred", shift=1)
    trees.frames(tmp_path / "truth")
    pairs, _ = pairs_of(tmp_path)
    assert [p.id for p in pairs] == ["truth"]


def test_a_split_chooses(tmp_path: Path) -> None:
    trees.videos(tmp_path / "pred", ("test/b", "test/other"), shift=1)
    trees.videos(tmp_path / "truth", ("test/a", "test/b", "test/c"))
    pairs, _ = pairs_of(tmp_path, split="b\n")
    assert [p.id for p in pairs] == ["test/b"]
    one = find_videos(tmp_path / "pred" / "test" / "other", "the prediction")
    assert [p.pred.id for p in pair(one, find_videos(tmp_path / "truth", "the truth"), ("c",))[0]] == ["other"]


def test_a_split_does_not_pair_a_video_with_another(tmp_path: Path) -> None:
    trees.videos(tmp_path / "pred", ["a"], shift=1)
    trees.videos(tmp_path / "truth")
    with pytest.raises(ScdError, match="no video of the prediction"):
        pairs_of(tmp_path, split="b")


def test_try_on_results(tmp_path: Path) -> None:
    trees.viton(tmp_path / "truth")
    for name in ("00006_00", "00008_00"):
        trees.picture(tmp_path / "pred" / f"{name}.png")
    pairs, warnings = pairs_of(tmp_path, pictures=True, split="00006_00.jpg 00008_00.jpg\n")
    assert [(p.id, p.numbers) for p in pairs] == [("00006_00", (0,))]
    assert warnings == []
    assert len(list(pairs[0].frames(NATIVE))) == 1


def test_renumbered(tmp_path: Path) -> None:
    pairs, _ = pairs_of(both(tmp_path, numbers=range(1, 4)), renumber=True)
    assert pairs[0].numbers == (1, 2, 3)
    assert [(n, pred[0, 0, 0]) for n, pred, _ in pairs[0].frames(NATIVE)] == [(n, trees.shade("a", n - 1) + 5) for n in (1, 2, 3)]


@pytest.mark.parametrize("filmed", ["pred", "truth"])
def test_a_film_pairs_with_frames_in_their_order(filmed: str, tmp_path: Path) -> None:
    trees.film(tmp_path / filmed / "a.mp4", 3)
    trees.frames(tmp_path / ("truth" if filmed == "pred" else "pred") / "a", range(5, 8), size=(64, 48))
    (p,), warnings = pairs_of(tmp_path)
    assert p.numbers == (5, 6, 7)
    assert any("frame n of the film" in w for w in warnings)
    for index, (_, pred, truth) in enumerate(p.frames(NATIVE)):
        assert abs(int((pred if filmed == "pred" else truth)[5, 5, 0]) - 8 * index) <= 2


def test_sizes_follow_the_rule(tmp_path: Path) -> None:
    trees.videos(tmp_path / "pred", size=(48, 64))
    trees.videos(tmp_path / "truth")
    pairs, _ = pairs_of(tmp_path)
    for rule, size in (("truth", (32, 24, 3)), ("prediction", (64, 48, 3))):
        g = Geometry("none", None, "pillow-bilinear", rule)  # type: ignore[arg-type]
        shapes = {f.shape for frames in (pairs[0].pred_frames(g), pairs[0].truth_frames(g)) for f in frames}
        assert shapes == {size}
        assert {f.shape for _, *both_sides in pairs[0].frames(g) for f in both_sides} == {size}
        assert check_sizes(pairs, g) == []


# ---- warnings


def warned(root: Path, **options: object) -> str:
    (warning,) = pairs_of(root, **options)[1]  # type: ignore[arg-type]
    return warning


def test_jpeg_against_png(tmp_path: Path) -> None:
    trees.videos(tmp_path / "pred", ending="jpg")
    trees.videos(tmp_path / "truth")
    assert "2 videos, the first is a, are JPEG in the prediction and PNG in the truth" in warned(tmp_path)
    for path in (tmp_path / "pred").glob("*/*.jpg"):
        path.rename(path.with_suffix(".png"))
    assert "are JPEG in the prediction" in warned(tmp_path)


def test_frame_rates_differ(tmp_path: Path) -> None:
    trees.film(tmp_path / "pred" / "a.mp4", fps=25)
    trees.film(tmp_path / "truth" / "a.mp4", fps=30)
    assert "the video a is of different frame rates" in warned(tmp_path)


def test_the_truth_itself(tmp_path: Path) -> None:
    trees.videos(tmp_path / "truth")
    (tmp_path / "pred").symlink_to(tmp_path / "truth")
    assert "the truth is judged against itself" in warned(tmp_path)
    (tmp_path / "pred").unlink()
    trees.videos(tmp_path / "pred")
    trees.frames(tmp_path / "pred" / "b", shift=3)
    assert "the video a is the same files" in warned(tmp_path)


def test_swapped(tmp_path: Path) -> None:
    trees.tiktok(tmp_path / "pred")
    trees.videos(tmp_path / "truth", ("00335", "00336"), numbers=range(1, 4), shift=1)
    assert "are --pred and --gt swapped?" in warned(tmp_path)


def test_swapped_with_results_of_scd(tmp_path: Path) -> None:
    facts = {"model": "m", "seed": "1", "settings": "{}"}
    with open_writer(tmp_path / "truth.png", Fraction(25), (32, 32), False, metadata=facts) as sink:
        for value in (10, 20):
            sink.write(making.grey(value, 32, 32))
    trees.frames(tmp_path / "pred", range(2), size=(32, 32))
    pred, truth = find_videos(tmp_path / "pred", "the prediction"), find_videos(tmp_path / "truth.png", "the truth")
    assert list(truth.videos) == ["truth"]
    (warning,) = pair(pred, truth)[1]
    assert "truth.png was made by scd animate" in warning
    assert pair(truth, pred)[1] == []


def test_shapes_differ(tmp_path: Path) -> None:
    trees.videos(tmp_path / "pred", size=(40, 32))
    trees.videos(tmp_path / "truth")
    pairs, _ = pairs_of(tmp_path)
    (warning,) = check_sizes(pairs, SQUARE)
    assert "40x32 in the prediction and 24x32 in the truth: a square cut from each" in warning
    (warning,) = check_sizes(pairs, Geometry("none", None, "area", "truth"))
    assert "one of them is stretched" in warning
    with pytest.raises(ScdError, match=r"0000.png is 40x32 pixels and the truth"):
        check_sizes(pairs, NATIVE)
    trees.videos(tmp_path / "square", size=(32, 32))
    square = pair(find_videos(tmp_path / "square", "the prediction"), find_videos(tmp_path / "truth", "the truth"))[0]
    assert check_sizes(square, SQUARE) == []


# ---- what cannot be judged


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def read_all(root: Path) -> None:
    for p in pairs_of(root)[0]:
        for _ in p.frames(NATIVE):
            pass


def change(root: Path, work: Callable[[Path], object]) -> Path:
    work(both(root))
    return root


def flat(root: Path) -> None:
    trees.picture(root / "pred" / "dance_1_01.png")
    trees.picture(root / "pred" / "dance_2_01.png")


def only(root: Path, side: str) -> None:
    for path in sorted((root / side).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def replaced(root: Path, *paths: str) -> None:
    only(root, "pred")
    for path in paths:
        trees.picture(root / "pred" / path)


TROUBLE: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no folder": (lambda r: os.rename(r / "pred", r / "gone"), "pred", "does not exist"),
    "empty folder": (lambda r: only(r, "pred"), "pred", "is an empty folder"),
    "empty video": (lambda r: (r / "pred" / "c").mkdir(), "pred/c", "is an empty folder"),
    "empty file": (lambda r: (r / "pred" / "a" / "0001.png").write_bytes(b""), "pred/a/0001.png", "is an empty file"),
    "only text": (lambda r: (only(r, "truth"), (r / "truth" / "readme.txt").write_text("x")), "truth", "only readme.txt"),
    "text as a side": (lambda r: (only(r, "pred"), (r / "pred").rmdir(), (r / "pred").write_text("x")), "pred", "neither a picture nor"),
    "text called PNG": (lambda r: (r / "pred" / "a" / "0001.png").write_text("hello"), "pred/a/0001.png", "is not a picture"),
    "text called MP4": (lambda r: (only(r, "pred"), (r / "pred" / "a.mp4").write_text("hello")), "pred/a.mp4", "not a video"),
    "cut off picture": (lambda r: cut_off(r / "pred" / "b" / "0002.png"), "pred/b/0002.png", "is damaged"),
    "cut off film": (lambda r: (only(r, "pred"), cut_off(trees.film(r / "pred" / "a.mp4", 9))), "pred/a.mp4", "is damaged"),
    "tiny picture": (lambda r: trees.picture(r / "pred" / "a" / "0001.png", size=(8, 8)), "pred/a/0001.png", "8x8"),
    "broken link": (lambda r: (r / "truth" / "a" / "0009.png").symlink_to("nowhere"), "truth/a/0009.png", "cannot be opened"),
    "one number twice": (lambda r: trees.picture(r / "truth" / "a" / "1.png"), "0001.png and 1.png", "two pictures with the number 1"),
    "one number in two formats": (lambda r: trees.picture(r / "truth" / "a" / "0001.jpg"), "0001.jpg and 0001.png", "number 1"),
    "two formats": (lambda r: trees.picture(r / "truth" / "a" / "0003.jpg"), "0000.png and 0003.jpg", "mixes PNG and JPEG"),
    "no number": (lambda r: trees.picture(r / "truth" / "a" / "cover.png"), "truth/a/cover.png", "no frame number"),
    "flat names": (lambda r: (only(r, "pred"), flat(r)), "dance_1_01.png and dance_2_01.png", "more than one video"),
    "nested too deep": (lambda r: replaced(r, "x/y/z/0001.png"), "x/y/z", "lies too deep"),
    "folders of two kinds": (lambda r: trees.picture(r / "pred" / "c" / "d" / "0001.png"), "a and c are of", "different kinds"),
    "pictures beside videos": (lambda r: trees.picture(r / "pred" / "sheet.png"), "sheet.png", "both frames and folders"),
    "reference of nothing": (lambda r: trees.picture(r / "truth" / "c_reference.png"), "c_reference.png", "both frames and folders"),
    "films beside frames": (lambda r: trees.film(r / "pred" / "c.mp4"), "c.mp4", "both videos and frames"),
    "films of one name": (lambda r: (only(r, "pred"), trees.film(r / "pred/a.mp4"), trees.film(r / "pred/a.mkv")), "a.mkv", "called a"),
    "try-on data": (lambda r: (only(r, "truth"), trees.viton(r / "truth")), "truth", "--protocol vitonhd"),
    "data set of another": (lambda r: (r / "truth" / "metadata.jsonl").write_text('{"file_name": "a"}'), "metadata.jsonl line 1", "lacks"),
    "data set of bytes": (lambda r: (r / "truth" / "metadata.jsonl").write_bytes(b"\xff\xfe"), "truth", "list of clips"),
    "frame missing": (lambda r: (r / "pred" / "a" / "0001.png").unlink(), "pred/a has 2 frames", "the first lacks frame 1;"),
    "frame too many": (lambda r: trees.frames(r / "pred" / "a", [7, 8]), "pred/a has 5 frames", "the second lacks frames 7, 8;"),
    "other numbers": (lambda r: (r / "pred" / "a" / "0001.png").rename(r / "pred" / "a" / "0007.png"), "pred/a has frames 7", "--renumber"),
    "counted from 1": (lambda r: (r / "pred/a/0000.png").rename(r / "pred/a/0003.png"), "pred/a counts its", "--renumber"),
    "film too short": (lambda r: (only(r, "pred"), trees.film(r / "pred/a.mp4", 2), trees.film(r / "pred/b.mp4")), "a.mp4 has 2", "a 3"),
    "video missing": (lambda r: trees.frames(r / "truth" / "c"), "pred lacks 1 of 3 videos", "--split"),
    "video too many": (lambda r: trees.frames(r / "pred" / "c"), "truth lacks 1 of 3 videos", "--split"),
    "other names": (lambda r: replaced(r, "v1/0.png", "v2/0.png"), "v1, v2 beside a, b", "name predictions like the truth"),
    "other sizes": (lambda r: trees.frames(r / "pred" / "a", size=(30, 40)), "pred/a/0000.png is 30x40", "--resize truth"),
    "one other size": (lambda r: trees.picture(r / "pred" / "a" / "0002.png", size=(30, 40)), "pred/a/0002.png is 30x40", "first frame"),
}  # fmt: skip


@pytest.mark.parametrize("name", TROUBLE)
def test_trouble_is_one_sentence_that_names_the_file(name: str, tmp_path: Path) -> None:
    work, named, says = TROUBLE[name]
    root = change(tmp_path, work)
    with pytest.raises(ScdError) as caught:
        read_all(root)
    text = str(caught.value)
    assert named in text
    assert says in text
    assert "\n" not in text
    assert not text.endswith(".")
    assert caught.value.hint


def test_a_clip_of_a_data_set_without_its_frames(tmp_path: Path) -> None:
    from tests.train.tiny_data import write_data

    (write_data(tmp_path / "data") / "clips/000002/frames/0003.png").unlink()
    with pytest.raises(ScdError, match=r"lacks 1 of the 5 frames of the clip 000002, the first is .*000002/frames/0003.png"):
        find_videos(tmp_path / "data", "the truth")


def test_a_split_with_unknown_ids(tmp_path: Path) -> None:
    with pytest.raises(ScdError, match=r"2 of 3 names of the split are no videos of the truth .*truth, the first is x"):
        pairs_of(both(tmp_path), split="a\nx\ny\n")


def test_a_split_whose_short_name_fits_two(tmp_path: Path) -> None:
    trees.videos(tmp_path / "pred", ("test/a", "val/a"))
    trees.videos(tmp_path / "truth", ("test/a", "val/a"), shift=1)
    with pytest.raises(ScdError, match="the first is a"):
        pairs_of(tmp_path, split="a")


# ---- streams and digests


def test_threads_end_with_the_reading(tmp_path: Path) -> None:
    trees.videos(tmp_path / "pred", ["a"], numbers=range(30), shift=1)
    trees.videos(tmp_path / "truth", ["a"], numbers=range(30))
    (p,), _ = pairs_of(tmp_path)
    before = threading.active_count()
    stream = p.frames(NATIVE)
    assert [n for n, *_ in islice(stream, 3)] == [0, 1, 2]
    assert threading.active_count() == before + 2
    stream.close()
    assert threading.active_count() == before
    (tmp_path / "pred/a/0010.png").write_text("no picture")
    with pytest.raises(ScdError, match=r"the prediction .*0010.png"):
        list(p.frames(NATIVE))
    assert threading.active_count() == before


def test_reading_holds_a_few_frames_only(tmp_path: Path) -> None:
    """The reader is at most the queue's length ahead of whoever takes frames."""
    trees.videos(tmp_path / "pred", ["a"], numbers=range(40), shift=1)
    trees.videos(tmp_path / "truth", ["a"], numbers=range(40))
    (p,), _ = pairs_of(tmp_path)
    stream = p.frames(NATIVE)
    next(stream)
    time.sleep(0.3)
    for path in sorted((tmp_path / "pred/a").iterdir())[20:]:
        path.unlink()
    with pytest.raises(ScdError, match=r"0020.png does not exist"):
        list(stream)


def test_digest_is_of_content_and_numbers(tmp_path: Path) -> None:
    def of(name: str) -> str:
        return digest(find_videos(tmp_path / name, "the truth").videos[name])

    for name in ("one", "other"):
        for number in range(3):
            trees.picture(tmp_path / name / f"{'f' if name == 'other' else ''}{number}.png", 50 + number)
    first = of("one")
    assert first == of("other")
    (tmp_path / "one/2.png").rename(tmp_path / "one/3.png")
    assert of("one") != first
    trees.picture(tmp_path / "other/f1.png", 99)
    assert of("other") != first
    film = find_videos(trees.film(tmp_path / "film.mp4"), "the truth").videos["film"]
    again = find_videos(trees.film(tmp_path / "again.mp4"), "the truth").videos["again"]
    assert digest(film) == digest(again) != first


def test_decoded_frames_are_those_of_the_files(tmp_path: Path) -> None:
    root = both(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)
    from PIL import Image

    for side in ("pred", "truth"):
        for id in "ab":
            for n in range(3):
                Image.fromarray(np.roll(noise, n)).save(root / side / id / f"{n:04d}.png")
    (first, _), _ = pairs_of(root)
    for number, pred, truth in first.frames(NATIVE):
        assert (pred == read_image(root / "pred/a" / f"{number:04d}.png")).all()
        assert (truth == np.roll(noise, number)).all()
