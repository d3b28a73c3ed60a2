"""The report page as a file: what it holds and escapes, which videos and frames it shows, what its pictures and curves are worth."""

import hashlib
import re
import weakref
from collections.abc import Callable, Iterator
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engines.core.errors import ScdError, UsageError
from engines.core.report import NullReport
from engines.evaluate.report.choice import chosen, file_stem, place_of, ranking, spread, telling_frames
from engines.evaluate.report.curves import Line, chart, limits, path_of, thinned, ticks_of
from engines.evaluate.report.headline import figures
from engines.evaluate.report.markup import Html, breakable, el, joined, number
from engines.evaluate.report.media import AMPLIFIED, CLIP_SIDE, Panels, difference
from engines.evaluate.report.page import write_report
from engines.evaluate.report.published import conditions, paper, published
from engines.media.video import probe, read_frames
from tests.evaluate import report_making as making

SIZE = (64, 48)
EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "../../up",
    "a/b",
    "a b",
    "a-b",
    "A-B",
    "тест",
    "",
    "x" * 300,
    "$title",
]


class Elements(HTMLParser):
    """Every element as (tag, attributes), and the text of all."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [a for t, a in self.found if t == tag and attributes.items() <= a.items()]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos of 20 frames, clips of all."""
    return making.write(tmp_path_factory.mktemp("report"), ["a", "b", "c"], 20, SIZE)


def parsed(path: Path) -> Elements:
    return Elements(path.read_text(encoding="utf-8"))


def test_markup_is_escaped_unless_it_is_markup() -> None:
    assert el("p", "<b>", Html("<i></i>"), title='"&') == '<p title="&quot;&amp;">&lt;b&gt;<i></i></p>'
    assert el("img", alt="", src=None, hidden=True, class_="x") == '<img alt="" hidden class="x" />'
    assert breakable("a_b<c-") == "a_<wbr />b&lt;c-"
    assert joined(["&", None, el("b", 1)], ", ") == "&amp;, <b>1</b>"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (24.517, "24.52"), (-3.1, "−3.100"), (0.7261, "0.7261"), (2.724e-4, "2.72e−04"), (123456.0, "1.235e+05")],
)
def test_numbers_have_four_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_nothing_from_outside_becomes_markup(tmp_path: Path) -> None:
    evil = "</script><script>alert(2)</script>"
    folder = tmp_path / "out"
    document = making.document(EVIL, 2, SIZE, warnings=[evil], skipped=[{"name": evil, "title": evil, "reason": evil}])
    document["made"]["command"] = document["inputs"]["pred"] = document["protocol"]["text"] = evil
    document["metrics"][0] |= {"notes": [evil], "source": evil, "title": evil, "unit": evil, "ci_method": evil}
    folder.mkdir()
    write_report(folder, document, making.panels(EVIL, 2, SIZE), NullReport())
    found = parsed(folder / "report.html")
    assert len(found.of("script")) == 1
    assert not found.of("img", src="x")
    assert all(not key.startswith("on") for _, attributes in found.found for key in attributes)
    assert "<script>alert(1)</script>" in found.text
    files = [a["src"] for tag in ("img", "video") for a in found.of(tag)] + [a["poster"] for a in found.of("video")]
    assert all((folder / str(name)).is_file() for name in files)
    names = [p.name for p in (folder / "media").iterdir()]
    assert len({name.lower() for name in names}) == len(names) == len(files)
    assert all(re.fullmatch(r"[0-9]{4}[a-z0-9-]{0,60}\.(mp4|jpg|webp)", name) for name in names)


def test_ids_of_the_page_are_unique_and_links_lead_somewhere(page: Path) -> None:
    found = parsed(page)
    ids = [a["id"] for _, a in found.found if "id" in a]
    assert len(ids) == len(set(ids))
    assert {str(a["href"]).removeprefix("#") for a in found.of("a")} | {str(a["href"])[1:] for a in found.of("use")} <= set(map(str, ids))
    wanted = [word for _, a in found.found for word in str(a.get("aria-labelledby", "")).split()]
    assert wanted
    assert set(wanted) <= set(map(str, ids))


def test_nothing_is_asked_of_a_network(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"https?://|fetch\(|XMLHttpRequest|@import|url\(", text)


@given(st.integers(0, 300), st.integers(0, 40))
def test_spread_takes_the_ends_the_middle_and_evenly_between(count: int, wanted: int) -> None:
    places = spread(count, wanted)
    assert places == sorted(set(places))
    assert len(places) == min(count, wanted)
    if 3 <= wanted <= count:
        assert {0, count - 1, (count - 1) // 2} <= set(places)
        gaps = np.diff(places)
        assert gaps.max() <= gaps.min() * 2 + 2


def few(metrics: dict[str, dict[str, float]], better: str = "higher") -> dict[str, Any]:
    names = {name for values in metrics.values() for name in values}
    return {
        "metrics": [{"name": name, "title": name, "unit": "", "better": better} for name in sorted(names)],
        "per_video": {video: {"frames": 2, "metrics": values} for video, values in metrics.items()},
    }


def test_videos_are_ranked_from_the_worst_by_the_first_metric_there() -> None:
    document = few({"a": {"psnr": 3, "mae": 1}, "b": {"psnr": 1, "mae": 2}, "c": {"psnr": 2, "mae": 3}, "d": {"mae": 9}})
    ranked = ranking(document, None)
    assert ranked is not None
    assert (ranked.name, ranked.order) == ("psnr", ("b", "c", "a"))
    assert chosen(["a", "b", "c", "d"], ranked, 2) == ["b", "a"]
    assert chosen(["a", "b", "c", "d"], ranked, 9) == ["b", "c", "a", "d"]
    assert [place_of(video, ranked) for video in "bcad"] == ["worst of 3 by psnr", "median of 3 by psnr", "best of 3 by psnr", ""]
    lower = ranking(few({"a": {"mae": 3}, "b": {"mae": 1}}, "lower"), None)
    assert lower is not None
    assert lower.order == ("a", "b")
    assert ranking(few({"a": {"ssim_rgb_gaussian": 1, "mae": 1}}), None).name == "ssim_rgb_gaussian"  # type: ignore[union-attr]
    assert ranking(document, "mae").name == "mae"  # type: ignore[union-attr]
    assert ranking(few({"a": {}}), None) is None
    with pytest.raises(UsageError, match="cannot rank videos by fid_clean; use one of: mae, psnr"):
        ranking(document, "fid_clean")


def test_telling_frames_lie_apart_and_stand_once() -> None:
    values: list[float | None] = [float(abs(place - 30.2)) for place in range(60)]
    values[5] = None
    found = telling_frames(values, lower=False)
    assert found["worst"] == [25, 30, 35, 40]
    assert found["best"][-1] == 59
    assert 0 in found["best"]
    every = [place for places in found.values() for place in places]
    assert len(every) == len(set(every)) == 12
    assert 5 not in every
    for places in found.values():
        assert np.diff(places).min() >= 5
    assert telling_frames(values, lower=True)["best"] == found["worst"]
    assert telling_frames([1.0, 2.0], lower=False) == {"worst": [0], "best": [1]}
    assert telling_frames([1.0, None], lower=False) == {}


@given(st.text(max_size=80))
def test_file_names_are_plain(video: str) -> None:
    assert re.fullmatch(r"0007(-[a-z0-9]+)*", file_stem(7, video))


def coordinates(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def test_curves_stand_where_their_values_are() -> None:
    path = path_of([0.0, 10.0, 5.0, None, 2.5], (0.0, 10.0), (100, 20, 400, 200))
    assert coordinates(path) == [(100, 220), (200, 20), (300, 120), (500, 170)]
    assert path.count("M") == 2  # a gap where the value is missing
    assert limits([[1.0, None], [3.0]]) == pytest.approx((0.92, 3.08))
    assert limits([[None]]) is None
    low, high = limits([[0.0, 0.0]]) or (0, 0)
    assert low < 0 < high
    assert ticks_of(17.3, 31.9) == pytest.approx([20, 25, 30])
    assert ticks_of(0, 1.1e-4) == pytest.approx([0, 5e-5, 1e-4])


@given(st.lists(st.floats(-1e3, 1e3) | st.none(), min_size=1, max_size=3000))
def test_long_rows_are_thinned_without_losing_their_peaks(values: list[float | None]) -> None:
    kept = thinned(values, 100)
    assert len(kept) <= 102
    assert [place for place, _ in kept] == sorted({place for place, _ in kept})
    known = [value for value in values if value is not None]
    if known:
        shown = [value for _, value in kept if value is not None]
        assert (min(shown), max(shown)) == (min(known), max(known))


def test_a_chart_names_its_lines_and_axes() -> None:
    drawn = Elements(chart("psnr", "PSNR", "dB", "higher", [Line(0, "a<b", [20.0, 30.0]), Line(1, "c", [25.0])]) or "")
    assert "a<b: mean 25.00 dB" in drawn.text
    assert "PSNR: lines of 2 videos, from 20.00 dB to 30.00 dB" in drawn.text
    assert "frame of the video" in drawn.text
    assert [a["data-video"] for a in drawn.of("g")] == ["0", "1"]
    assert chart("psnr", "PSNR", "dB", "higher", [Line(0, "a", [None])]) is None


def test_curves_of_the_page_hold_every_frame(page: Path) -> None:
    paths = {a["id"]: str(a["d"]) for a in parsed(page).of("path") if "id" in a}
    assert len(coordinates(paths["c-psnr-0"])) == 20
    assert len(coordinates(paths["c-dtssd-0"])) == 19  # undefined at the first frame


def test_clips_are_what_browsers_play_and_hold_every_frame(page: Path) -> None:
    found = parsed(page)
    assert len(found.of("video")) == 3 * 4
    for video in found.of("video"):
        assert {"muted", "loop", "playsinline"} <= set(video)
        assert video["preload"] == "none"
        path = page.parent / str(video["src"])
        facts = probe(path)
        assert (facts.frames, facts.fps, facts.size) == (20, 25, SIZE)
        with av.open(str(path)) as container:
            codec = container.streams.video[0].codec_context
            assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
        with Image.open(page.parent / str(video["poster"])) as poster:
            assert poster.size == SIZE
    stem = next(str(v["src"]) for v in found.of("video", **{"data-role": "truth"}) if "-b-" in str(v["src"]))
    for index, frame in enumerate(read_frames(page.parent / stem)):
        assert np.abs(frame.astype(int) - making.truth(1, index, SIZE)).mean() < 8


def test_the_difference_is_amplified_and_clipped() -> None:
    one, other = np.full((2, 2, 3), 10, np.uint8), np.full((2, 2, 3), 50, np.uint8)
    other[0, 0] = 255
    assert AMPLIFIED == 3
    np.testing.assert_array_equal(difference(one, other)[1, 1], [120] * 3)
    np.testing.assert_array_equal(difference(one, other)[0, 0], [255] * 3)


def folder_of(tmp_path: Path, panels: Panels, frames: int, **changes: Any) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    write_report(folder, making.document([panels.id], frames, SIZE, **changes), [panels], NullReport())
    return folder


def test_poses_may_end_early_and_be_large(tmp_path: Path) -> None:
    usual = making.panels(["a"], 8, SIZE)[0]
    large = (1200, 900)
    panels = Panels("a", Fraction(30000, 1001), None, usual.prediction, usual.truth, lambda: making.stream(making.pose, 0, 3, large))
    folder = folder_of(tmp_path, panels, 8)
    facts = probe(folder / "media" / "0001-a-pose.mp4")
    assert (facts.frames, facts.fps, facts.size) == (8, Fraction(30000, 1001), (CLIP_SIDE, 384))
    assert not list((folder / "media").glob("*reference*"))


def test_poses_may_be_none_at_all(tmp_path: Path) -> None:
    usual = making.panels(["a"], 4, SIZE)[0]
    folder = folder_of(tmp_path, Panels("a", Fraction(25), None, usual.prediction, usual.truth, lambda: iter(())), 4)
    assert sorted(p.name for p in (folder / "media").glob("*.mp4")) == [f"0001-a-{r}.mp4" for r in ("difference", "prediction", "truth")]


def test_pictures_are_stills(tmp_path: Path) -> None:
    page = making.write(tmp_path / "out", ["00006_00", "00008_00"], 1, SIZE, pictures=True)
    found = parsed(page)
    assert not found.of("video")
    assert len(found.of("img")) == 2 * 5
    assert {p.suffix for p in (tmp_path / "out" / "media").iterdir()} == {".webp"}
    with Image.open(tmp_path / "out" / "media" / "0001-00006-00-truth.webp") as picture:
        assert np.abs(np.asarray(picture, int) - making.truth(0, 0, SIZE)).mean() < 6
    assert "2 pictures" in found.text
    assert "The values of all pictures" in found.text
    assert "no figures of try-on" in found.text


def test_some_videos_have_clips_and_the_page_says_so(tmp_path: Path) -> None:
    ids = [f"v{number}" for number in range(7)]
    folder = tmp_path / "out"
    found = parsed(making.write(folder, ids, 3, SIZE, media=3))
    assert "3 of 7 videos: the worst, the best, the median and evenly between" in found.text
    assert len(found.of("article")) == 3
    assert len(found.of("th", scope="row")) >= 7
    assert "All 7 videos" in parsed(making.write(tmp_path / "all", ids, 2, SIZE, media=12)).text
    none = parsed(making.write(tmp_path / "none", ids, 2, SIZE, media=0))
    assert not (tmp_path / "none" / "media").exists()
    assert "No clips were made" in none.text
    assert "holds no pictures" in none.text


def test_the_same_document_and_frames_give_the_same_bytes(tmp_path: Path) -> None:
    def content(name: str) -> dict[str, str]:
        making.write(tmp_path / name, ["a", "b", "c"], 12, SIZE)
        files = (p for p in sorted((tmp_path / name).rglob("*")) if p.is_file())
        return {p.relative_to(tmp_path / name).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    assert content("one") == content("other")


def test_frames_stream_by(tmp_path: Path) -> None:
    """At no time more frames live than the sheets keep and the pass holds; every stream is gone through once."""
    alive, most, begun = 0, 0, 0

    def watched(make: Callable[[int, int, tuple[int, int]], np.ndarray]) -> Callable[[], Iterator[np.ndarray]]:
        def gone() -> None:
            nonlocal alive
            alive -= 1

        def frames() -> Iterator[np.ndarray]:
            nonlocal alive, most, begun
            begun += 1
            for index in range(80):
                frame = make(0, index, SIZE)
                weakref.finalize(frame, gone)
                alive += 1
                most = max(most, alive)
                yield frame
                del frame

        return frames

    panels = Panels("a", Fraction(25), None, watched(making.prediction), watched(making.truth), watched(making.pose))
    folder_of(tmp_path, panels, 80)
    assert begun == 3
    assert 24 <= most <= 24 + 12  # 12 frames of both sides in the sheets


def test_what_cannot_be_read_is_the_users_to_know(tmp_path: Path) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield making.truth(0, 0, SIZE)
        raise ScdError("the prediction a/0001.png is damaged", "save it again")

    usual = making.panels(["a"], 4, SIZE)[0]
    with pytest.raises(ScdError, match=r"a/0001\.png is damaged"):
        folder_of(tmp_path, Panels("a", Fraction(25), None, broken, usual.truth, None), 4)


def test_both_conventions_stand_in_one_row() -> None:
    document = making.document(["a", "b"], 2, SIZE)
    rows = figures(document).split("<tr>")
    row = next(row for row in rows if ">psnr<" in row)
    assert ">psnr_legacy_uint8<" in row
    assert number(next(m["value"] for m in document["metrics"] if m["name"] == "psnr_legacy_uint8")) in row
    assert sum(">psnr_legacy_uint8<" in row for row in rows) == 2  # here and among the definitions
    alone = document | {"metrics": [m for m in document["metrics"] if m["name"] == "psnr_legacy_uint8"]}
    assert ">psnr_legacy_uint8<" in figures(alone)
    fid = Elements(next(row for row in rows if ">fid_clean<" in row)).text
    tiles = Elements(figures(document).split("</ul>")[0]).text
    assert "PSNR ↑" in tiles
    assert "legacy" not in tiles
    assert "52.30" in fid
    assert "below 2048 FID is mostly bias" in fid


def test_the_papers_tables_are_whole() -> None:
    data = paper()
    assert [column["title"] for column in data["columns"]] == ["FID", "SSIM", "PSNR", "LPIPS", "L1", "FID-VID", "FVD"]
    assert [len(table["rows"]) for table in data["tables"]] == [10, 8]
    assert all(len(row) == 8 for table in data["tables"] for row in table["rows"])
    assert data["tables"][0]["rows"][-1] == ["SCD-V", "34.44", "0.731", "18.81", "0.236", "2.75E-04", "15.58", "136.60"]
    assert data["tables"][1]["rows"][-1][1:] == data["tables"][0]["rows"][-2][1:]  # SCD-I stands in both


def test_the_comparison_says_what_differs() -> None:
    document = making.document(["a"], 2, SIZE)
    states = {what: state for what, *_, state in conditions(document)}
    assert (states["Crop and size"], states["Mean of paired figures"], states["Clips of FID-VID and FVD"]) == ("same", "differs", "differs")
    disco = document | {"protocol": document["protocol"] | {"pooling": "frames", "clip_stride": 1}}
    assert {what: state for what, *_, state in conditions(disco)}["Mean of paired figures"] == "same"
    native = document | {"protocol": document["protocol"] | {"crop": "none", "size": None}}
    assert {what: state for what, *_, state in conditions(native)}["Crop and size"] == "differs"
    assert "Not comparable unless" in Elements(published(document)).text
