"""Layouts of predictions and truths, and lists of videos."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from engines.core.errors import ScdError
from engines.evaluate.layouts import find_videos
from engines.evaluate.splits import read_split
from tests.evaluate import trees
from tests.train.tiny_data import write_data

Build = Callable[[Path], Path]


def names(root: Path, text: str) -> Path:
    for name in text.split():
        trees.picture(root / name)
    return root


def films(root: Path) -> Path:
    trees.film(root / "a.mp4", 3)
    trees.film(root / "b.mkv", 2, codec="ffv1")
    return root


LAYOUTS: dict[str, tuple[Build, str, dict[str, tuple[int, ...]]]] = {
    "one film": (lambda t: trees.film(t / "dance.mp4", 4), "one video", {"dance": (0, 1, 2, 3)}),
    "one picture": (lambda t: trees.picture(t / "007.png"), "one picture", {"007": (0,)}),
    "films": (lambda t: films(t), "folder of videos", {"a": (0, 1, 2), "b": (0, 1)}),
    "films of splits": (lambda t: trees.film(t / "test" / "a.mp4").parents[1], "folders of videos", {"test/a": (0, 1, 2)}),
    "frames": (lambda t: trees.videos(t), "folders of frames", {"a": (0, 1, 2), "b": (0, 1, 2)}),
    "results": (lambda t: trees.videos(t, ["a.png"]), "folders of frames", {"a": (0, 1, 2)}),
    "splits": (
        lambda t: trees.videos(t, ["test/a", "val/a"]), "folders of frames, one level down",
        {"test/a": (0, 1, 2), "val/a": (0, 1, 2)},
    ),
    "one folder": (lambda t: names(t / "v", "frame_9.png frame_10.png"), "one folder of frames", {"v": (9, 10)}),
    "one number": (lambda t: names(t, "v/result.png"), "folders of frames", {"v": (0,)}),
    "disco": (
        lambda t: trees.disco(t), "flat DisCo names",
        {
            "TiktokDance_00337": (9, 10, 11), "TiktokDance_00338": (9, 10, 11), "TiktokDance_203_006_1x1": (348, 349),
            "TiktokDance_00001": (1,), "S001C002P003R002A013": (5,),
        },
    ),
    "tiktok": (lambda t: trees.tiktok(t), "TikTok tree", {"00335": (1, 2, 3), "00336": (1, 2, 3)}),
    "one of tiktok": (lambda t: trees.tiktok(t) / "00335", "TikTok tree, one video", {"00335": (1, 2, 3)}),
    "one-to-all": (lambda t: trees.one_to_all(t), "One-to-All tree", {"000": (0, 1, 2), "001": (0, 1, 2)}),
    "data set": (lambda t: write_data(t), "scd data set", {f"00000{n}": (0, 1, 2, 3, 4) for n in range(4)}),
}  # fmt: skip

PICTURES: dict[str, tuple[Build, str, list[str]]] = {
    "viton": (lambda t: trees.viton(t), "VITON-HD, test", ["00006_00", "00008_00"]),
    "viton test": (lambda t: trees.viton(t) / "test", "VITON-HD", ["00006_00", "00008_00"]),
    "viton image": (lambda t: trees.viton(t) / "test" / "image", "pictures", ["00006_00", "00008_00"]),
    "results": (lambda t: names(t, "00006_00.png 00008_00.jpg"), "pictures", ["00006_00", "00008_00"]),
    "dress code": (lambda t: trees.dress_code(t), "DressCode", ["020714_0", "013563_0", "000012_0"]),
    "one category": (lambda t: trees.dress_code(t) / "dresses", "DressCode", ["020714_0"]),
    "one number twice": (
        lambda t: trees.dress_code(t, ["000012"] * 3), "DressCode", ["dresses/000012_0", "lower_body/000012_0", "upper_body/000012_0"]
    ),
    "dress results": (lambda t: names(t, "dresses/1_0.png upper_body/2_0.png"), "DressCode", ["1_0", "2_0"]),
    "folders": (lambda t: names(t, "paired/1_0.png paired/1_1.png"), "folders of pictures", ["paired/1_0", "paired/1_1"]),
    "one": (lambda t: trees.picture(t / "me.jpg"), "one picture", ["me"]),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout(layout: str, tmp_path: Path) -> None:
    build, name, videos = LAYOUTS[layout]
    found = find_videos(build(tmp_path / "x"), "the truth")
    assert found.layout == name
    assert {id: video.numbers for id, video in found.videos.items()} == videos
    for video in found.videos.values():
        assert (video.pictures is None) != (video.film is None)
        assert all(path.is_file() for path in video.files)
        if video.pictures:
            assert len(video.pictures) == len(video.numbers)
            assert "masks" not in str(video.pictures)


@pytest.mark.parametrize("layout", PICTURES)
def test_layout_of_pictures(layout: str, tmp_path: Path) -> None:
    build, name, ids = PICTURES[layout]
    found = find_videos(build(tmp_path / "x"), "the truth", pictures=True)
    assert found.layout == name
    assert list(found.videos) == ids
    assert {video.numbers for video in found.videos.values()} == {(0,)}


def test_numbers_rule_the_order_not_names(tmp_path: Path) -> None:
    video = find_videos(names(tmp_path / "v", "10.png 9.png 100.png"), "the truth").videos["v"]
    assert [path.name for path in video.files] == ["9.png", "10.png", "100.png"]


def test_what_lies_beside_the_frames(tmp_path: Path) -> None:
    data = find_videos(write_data(tmp_path / "data"), "the truth")
    assert data.references["000001"] == tmp_path / "data/clips/000001/frames/0000.png"
    assert data.keypoints["000001"] == tmp_path / "data/clips/000001/keypoints.npz"
    assert data.labels["000001"].is_dir()
    assert data.videos["000001"].fps == Fraction(12)
    tree = find_videos(trees.one_to_all(tmp_path / "tree"), "the truth")
    assert tree.references == {id: tmp_path / "tree" / f"{id}_reference.png" for id in ("000", "001")}


def test_films_are_lossy_but_ffv1_is_not(tmp_path: Path) -> None:
    lossy = find_videos(trees.film(tmp_path / "a.mp4"), "the truth")
    assert lossy.videos["a"].fps == 25
    assert len(lossy.warnings) == 1
    assert "a.mp4 is h264 yuv420p" in lossy.warnings[0]
    from engines.media.encoding import Encoding
    from engines.media.writer import open_writer

    with open_writer(tmp_path / "b.mkv", Fraction(25), (32, 32), False, encoding=Encoding("ffv1")) as sink:
        sink.write(trees.making.grey(7, 32, 32))
    assert find_videos(tmp_path / "b.mkv", "the truth").warnings == []


def test_other_files_are_told_once_and_litter_never(tmp_path: Path) -> None:
    root = trees.videos(tmp_path / "x")
    for name in ("Thumbs.db", ".DS_Store", "a/.hidden.png", "__MACOSX/a/0000.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    assert find_videos(root, "the truth").warnings == []
    for name in ("log.txt", "a/summary.json", "b/summary.json"):
        (root / name).write_text("{}")
    trees.picture(root / "b/thumbnails/0000.png")
    (warning,) = find_videos(root, "the truth").warnings
    assert "4 other files are left out, log.txt, a/summary.json, b/summary.json and 1 more" in warning


def test_links_are_followed_but_not_round_in_circles(tmp_path: Path) -> None:
    trees.frames(tmp_path / "store")
    root = tmp_path / "x"
    root.mkdir()
    (root / "a").symlink_to(tmp_path / "store")
    assert list(find_videos(root, "the truth").videos) == ["a"]
    (root / "again").symlink_to(root)
    with pytest.raises(ScdError, match="a and again are of different kinds"):
        find_videos(root, "the truth")
    circle = tmp_path / "circle"
    circle.mkdir()
    (circle / "again").symlink_to(circle)
    with pytest.raises(ScdError, match="lies too deep"):
        find_videos(circle, "the truth")
    (root / "self").symlink_to("self")
    with pytest.raises(ScdError, match="self cannot be opened"):
        find_videos(root, "the truth")


def test_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trees.frames(tmp_path / "dance"))
    assert list(find_videos(Path("."), "the truth").videos) == ["dance"]


SPLITS = {
    "split.txt": ("# the ten\n00335\n\n  val/00336/  # good\n./00337\ndance.mp4\nmy dance\n00335\n",
                  ("00335", "val/00336", "00337", "dance", "my dance")),
    "pairs.txt": ("00006_00.jpg 01260_00.jpg\n00008_00.jpg\t00006_00.jpg\t0\r\n", ("00006_00", "00008_00")),
    "split.json": ('["a", "b/c", "d.png"]', ("a", "b/c", "d")),
    "bom.txt": ("\ufeffa\n", ("a",)),
}  # fmt: skip


@pytest.mark.parametrize("name", SPLITS)
def test_split(name: str, tmp_path: Path) -> None:
    text, ids = SPLITS[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_split(tmp_path / name) == ids


@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("none.txt", None, "does not exist"),
        ("empty.txt", b"", "is empty"),
        ("comments.txt", b"# nothing\n\n", "names no videos"),
        ("latin.txt", "dans\xe9".encode("latin-1"), "not a text in UTF-8"),
        ("table.txt", b"a\nb\t3\n", "line 2 has several columns"),
        ("binary.txt", b"a\n\x00\x01b\n", "line 2 is not text"),
        ("broken.json", b'["a",\n"b"', "line 2 is not JSON"),
        ("object.json", b'{"test": ["a"]}', "is JSON but not a list"),
        ("numbers.json", b'["a", 3]', "item 2 of its list but 3"),
    ],
)
def test_bad_split(name: str, raw: bytes | None, says: str, tmp_path: Path) -> None:
    if raw is not None:
        (tmp_path / name).write_bytes(raw)
    with pytest.raises(ScdError) as caught:
        read_split(tmp_path / name)
    assert says in str(caught.value)
    assert name in caught.value.message
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs users")
def test_a_folder_that_may_not_be_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:  # outside pytest's own folders, which only their owner may enter
        root = trees.videos(Path(name) / "x")
        Path(name).chmod(0o755)
        root.chmod(0o000)
        before = os.geteuid()
        try:
            if before == 0:
                os.seteuid(65534)
            with pytest.raises(ScdError, match="x cannot be read"):
                find_videos(root, "the truth")
        finally:
            if before == 0:
                os.seteuid(0)
            root.chmod(0o755)
