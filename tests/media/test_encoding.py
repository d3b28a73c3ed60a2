"""Codecs and containers: what may be asked for, and what is then in the file: colours, exactness, metadata, the same bytes every time."""

import dataclasses
import json
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from engines.core.errors import ScdError, UsageError
from engines.media import encoding
from engines.media.encoding import CODECS, FORMATS, Encoding, check_encoding, pix_fmts, plan, size_in_file
from engines.media.sound import Sound
from engines.media.video import probe, read_frames
from engines.media.writer import open_writer
from tests.media.making import beeps, film

RATE = Fraction(30000, 1001)
SIZE = (65, 47)  # odd: padded only where colours are halved
PRIMARIES = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 90, 60), (20, 160, 170)]
ALL = [(name, ending) for name, codec in CODECS.items() for ending in codec.endings]


def needs(codec: str) -> None:
    if not pix_fmts(codec):
        pytest.skip(f"this build of PyAV has no {CODECS[codec].encoder}")


def patches(size: tuple[int, int] = SIZE) -> np.ndarray:
    """Colours in fields far larger than a block of chroma."""
    out = np.zeros((size[1], size[0], 3), np.uint8)
    for index, colour in enumerate(PRIMARIES):
        row, column = divmod(index, 4)
        out[row * size[1] // 2 :, column * size[0] // 4 :] = colour
    return out


def noise(count: int = 4, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    return [rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8) for _ in range(count)]


def write(path: Path, pictures: list[np.ndarray], how: Encoding | None = None, **more: object) -> Path:
    size = (pictures[0].shape[1], pictures[0].shape[0])
    with open_writer(path, RATE, size, True, encoding=how, **more) as sink:  # type: ignore[arg-type]
        for picture in pictures:
            sink.write(picture)
    return path


@pytest.mark.parametrize(("codec", "ending"), ALL)
def test_every_codec_in_every_container_that_takes_it(tmp_path: Path, codec: str, ending: str) -> None:
    needs(codec)
    how = Encoding(codec)
    path = write(tmp_path / f"a{ending}", [patches()] * 4, how)
    info = probe(path)
    assert (info.frames, info.fps, info.size) == (4, RATE, size_in_file(path, SIZE, how))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert {"libdav1d": "av1"}.get(context.name, context.name) == codec
        rgb = codec == "ffv1"
        assert (context.colorspace, context.color_primaries, context.color_trc) == ((0, 1, 13) if rgb else (1, 1, 1))
        assert context.color_range == (2 if rgb else 1)
        assert context.codec_tag == "hvc1" or (codec, ending) not in [("hevc", ".mp4"), ("hevc", ".mov")]
    back = next(iter(read_frames(path)))[: SIZE[1], : SIZE[0]].astype(int)
    for index, colour in enumerate(PRIMARIES):
        row, column = divmod(index, 4)
        centre = back[row * SIZE[1] // 2 + 11, column * SIZE[0] // 4 + 8]
        assert np.abs(centre - colour).max() <= 8, (colour, centre)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "inside"),
    [
        ("a.mkv", "ffv1", None, "bgr0"), ("a.mkv", "ffv1", "gbrp16le", "gbrp16le"), ("a.mp4", "h264", "rgb24", "gbrp"),
        ("a.mov", "h264", "bgr0", "gbrp"), ("a.mp4", "hevc", "gbrp", "gbrp"), ("a.webm", "vp9", "gbrp", "gbrp"),
    ],
)  # fmt: skip
def test_rgb_is_exact(tmp_path: Path, name: str, codec: str, pix_fmt: str | None, inside: str) -> None:
    needs(codec)
    path = write(tmp_path / name, noise(), Encoding(codec, pix_fmt=pix_fmt))
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == inside
    assert all(np.array_equal(a, b) for a, b in zip(read_frames(path), noise(), strict=True))


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "size"),
    [
        ("h264", "yuv420p", (66, 48)), ("h264", "yuv422p", (66, 47)), ("h264", "yuv444p10le", (65, 47)), ("hevc", "yuv420p10le", (66, 48)),
        ("prores", "yuv422p10le", (66, 47)), ("prores", "yuva444p10le", (65, 47)), ("ffv1", "yuv444p", (65, 47)),
        ("h264", "rgb24", (65, 47)),
    ],
)  # fmt: skip
def test_odd_sides_are_padded_only_where_colours_are_halved(tmp_path: Path, codec: str, pix_fmt: str, size: tuple[int, int]) -> None:
    needs(codec)
    how = Encoding(codec, pix_fmt=pix_fmt)
    path = write(tmp_path / "a.mkv", [patches()], how)
    assert probe(path).size == size == size_in_file(path, SIZE, how)
    assert size_in_file(tmp_path / "a.gif", SIZE) == SIZE


@pytest.mark.parametrize("codec", list(CODECS))
def test_every_pixel_format_on_offer_can_be_written_and_read(tmp_path: Path, codec: str) -> None:
    needs(codec)
    path = tmp_path / f"a{CODECS[codec].endings[-1]}"
    for pix_fmt in pix_fmts(codec):
        write(path, [np.full((19, 17, 3), (200, 90, 60), np.uint8)] * 2, Encoding(codec, pix_fmt=pix_fmt))
        back = next(iter(read_frames(path)))
        assert np.abs(back[8, 8].astype(int) - (200, 90, 60)).max() <= 4, pix_fmt
    assert not any("yuva" in name for name in pix_fmts(codec)) or codec == "prores"


def test_what_an_encoder_refuses_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encoding.CODECS, "vp9", dataclasses.replace(CODECS["vp9"], clear=True))
    with pytest.raises(ScdError, match="cannot be encoded") as caught:
        write(tmp_path / "a.webm", noise(1), Encoding("vp9", pix_fmt="yuva422p"))
    assert "--pix-fmt" in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("height", "matrix"), [(480, "ITU601"), (720, "ITU709")])
def test_colours_that_are_not_told_are_read_as_players_do(tmp_path: Path, height: int, matrix: str) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, height, "yuv444p"
        frame = av.VideoFrame.from_ndarray(np.full((height, 64, 3), (200, 90, 60), np.uint8), format="rgb24")
        frame = frame.reformat(format="yuv444p", src_colorspace=matrix, dst_colorspace=matrix, dst_color_range="MPEG")
        frame.colorspace = 2
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert np.abs(next(iter(read_frames(tmp_path / "a.mkv")))[9, 9].astype(int) - (200, 90, 60)).max() <= 2


def test_ten_bits_of_444_keep_every_colour(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", noise(), Encoding("ffv1", pix_fmt="yuv444p10le"))
    for back, picture in zip(read_frames(path), noise(), strict=True):
        assert np.abs(back.astype(int) - picture).max() <= 1


def test_prores_is_422_hq_or_4444(tmp_path: Path) -> None:
    for pix_fmt, tag in ((None, "apch"), ("yuv444p10le", "ap4h"), ("yuva444p10le", "ap4h")):
        path = write(tmp_path / "a.mov", [patches()], Encoding("prores", pix_fmt=pix_fmt))
        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.codec_tag == tag


@pytest.mark.parametrize(("codec", "name"), [("h264", "a.mp4"), ("hevc", "a.mp4"), ("vp9", "a.webm"), ("av1", "a.mp4")])
def test_a_lower_crf_takes_more_room(tmp_path: Path, codec: str, name: str) -> None:
    needs(codec)
    sizes = [write(tmp_path / name, noise(3, (96, 64)), Encoding(codec, crf)).stat().st_size for crf in (45, 10)]
    assert sizes[0] * 1.5 < sizes[1]


@pytest.mark.parametrize(
    ("name", "how", "flag", "remedy"),
    [
        ("a.avi", Encoding(), "ending", ".mp4, .mov, .mkv"),
        ("a.mp4", Encoding("divx"), "--codec divx", "h264, hevc, vp9, av1, prores, ffv1"),
        ("a.mp4", Encoding("prores"), "--codec prores", ".mov or .mkv, or use --codec h264, hevc, vp9, av1"),
        ("a.webm", Encoding("h264"), "--codec h264", "--codec vp9, av1"),
        ("a.mp4", Encoding("ffv1"), "--codec ffv1", ".mkv"),
        ("a.mp4", Encoding(crf=52), "--crf 52", "0 (best) to 51"),
        ("a.webm", Encoding(crf=-1), "--crf -1", "0 (best) to 63"),
        ("a.mov", Encoding("prores", 20), "--crf", "leave it out"),
        ("a.mp4", Encoding(pix_fmt="bgra"), "--pix-fmt bgra", "yuv420p"),
        ("a.mov", Encoding("prores", None, "yuv420p"), "--pix-fmt yuv420p", "yuv422p10le, yuv444p10le, yuva444p10le"),
        ("a.gif", Encoding("h264"), "--codec", ".mp4"),
        ("a.png", Encoding(crf=3), "--crf", ".mp4"),
        ("a.png", Encoding(pix_fmt="rgb24"), "--pix-fmt", ".mp4"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(tmp_path: Path, name: str, how: Encoding, flag: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_encoding(tmp_path / name, how)
    assert flag in caught.value.message
    assert remedy in str(caught.value.hint)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError), open_writer(tmp_path / name, RATE, SIZE, False, encoding=how):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_build_without_an_encoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encoding.CODECS, "av1", encoding.Codec("libnothing", (".mp4",), "yuv420p", None))
    with pytest.raises(UsageError, match="no encoder for --codec av1"):
        check_encoding(Path("a.mp4"), Encoding("av1"))


@pytest.mark.parametrize("ending", FORMATS)
def test_the_defaults_are_allowed(ending: str) -> None:
    check_encoding(Path(f"a{ending.upper()}"), Encoding())


def test_the_default_of_mp4_is_h264_of_good_quality() -> None:
    made = plan(Path("a.mp4"), Encoding())
    assert (made.encoder, made.pix_fmt, made.settings["crf"], made.settings["preset"]) == ("libx264", "yuv420p", "16", "medium")


WORDS = {"seed": "7", "reference": "Größe ☃.png", "scd version": "1.2"}


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm"])
def test_metadata_are_in_the_file(tmp_path: Path, name: str) -> None:
    with av.open(str(write(tmp_path / name, [patches()], metadata=WORDS))) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
    assert json.loads(found["comment"]) == WORDS
    assert {key: found.get(key.replace(" ", "_"), found.get(key)) for key in WORDS} == WORDS
    assert "creation_time" not in found


def test_metadata_of_pictures(tmp_path: Path) -> None:
    with Image.open(write(tmp_path / "a.gif", [patches()] * 2, metadata=WORDS)) as gif:
        assert json.loads(gif.info["comment"]) == WORDS
    write(tmp_path / "b.png", [patches()] * 2, metadata=WORDS)
    for name in ("000000.png", "000001.png"):
        with Image.open(tmp_path / "b.png" / name) as png:
            assert {key: png.info[key] for key in WORDS} == WORDS
            assert json.loads(png.info["comment"]) == WORDS


def test_names_that_are_no_text_are_kept_as_far_as_they_are(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mkv", "a.gif", "a.png"):
        assert write(tmp_path / name, [patches()], metadata={"reference": "a\udcff\0b.png"}).exists()


AGAIN = [
    ("h264", "a.mp4", None), ("h264", "a.mov", "yuv444p10le"), ("h264", "a.mkv", None), ("vp9", "a.webm", None),
    ("hevc", "b.mp4", None), ("av1", "b.webm", "yuv420p10le"), ("prores", "b.mov", None), ("ffv1", "b.mkv", None),
    (None, "a.gif", None), (None, "a.png", None),
]  # fmt: skip


def test_the_same_frames_and_sound_give_the_same_bytes(tmp_path: Path) -> None:
    heard = film(tmp_path / "heard.mp4", list(range(0, 300, 30)), Fraction(1, 900), sound=beeps(0.3, 0.1, channels=2))
    more = {"sound": Sound(heard, Fraction(0), Fraction(1)), "metadata": WORDS}
    found: list[dict[str, bytes]] = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        time.sleep(1.05 * len(found))  # containers know the time in whole seconds
        folder.mkdir()
        for codec, name, pix_fmt in AGAIN:
            if codec is None or pix_fmts(codec):
                write(folder / name, noise(6, (131, 93)), Encoding(codec, pix_fmt=pix_fmt), **more)
        found.append({str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()})
    assert [name for name in found[0] if found[0][name] != found[1][name]] == []
    assert len(found[1]) == len(found[0]) >= 10


@pytest.mark.parametrize(("pix_fmt", "crf"), [(None, None), ("yuv444p10le", 20), ("rgb24", 12)])
def test_h264_is_the_same_whatever_lay_in_memory_before(tmp_path: Path, pix_fmt: str | None, crf: int | None) -> None:
    """x264's macroblock tree makes other bytes at this size each time: content that moves shows it, noise does not."""
    rng = np.random.default_rng(0)
    ground = np.repeat(np.repeat(rng.integers(0, 255, (30, 40, 3)).astype(np.uint8), 8, axis=0), 8, axis=1)
    pictures = [np.ascontiguousarray(ground[2 * n : 2 * n + 128, 3 * n : 3 * n + 96]) for n in range(30)]
    found, held = set(), []
    for turn in range(6):
        held.append(rng.integers(0, 255, 100_000 * (50 + 977 * turn % 89), dtype=np.uint8))
        if turn % 2:
            held.clear()
        found.add(write(tmp_path / "a.mp4", pictures, Encoding("h264", crf, pix_fmt)).read_bytes())
    assert len(found) == 1
