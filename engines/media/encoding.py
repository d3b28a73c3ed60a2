"""How a clip is encoded: the codecs by the names that users know, what goes into which container, and refusals of the rest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import av
from av.codec.codec import UnknownCodecError

from engines.core.errors import UsageError

FORMATS = (".mp4", ".mov", ".mkv", ".webm", ".gif", ".png")
PICTURES = (".gif", ".png")  # no codecs, no sound
# no colours, another range, semi-planar, or rare: nothing that players or a studio ask for
ODD_FORMATS = ("gray", "yuvj", "nv", "ya8", "yaf", "pal", "yuv41", "yuv440", "bayer")
CLEAR_FORMATS = ("yuva", "gbrap", "rgba", "bgra")  # with transparency, which a clip has none of
APPLE = (".mp4", ".mov")


@dataclass(frozen=True, slots=True)
class Encoding:
    """What the user asked for; None leaves a choice to the container. `codec` is a key of `CODECS`, `pix_fmt` a name of FFmpeg's."""

    codec: str | None = None
    crf: int | None = None
    pix_fmt: str | None = None


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec: its encoder (`rgb`: the one for RGB, if another), endings, pixel format unless asked, crf as (lowest, highest, usual).

    `exact`: the settings under which RGB is lossless. `clear`: transparent formats are asked of it by habit, and written opaque.
    """

    encoder: str
    endings: tuple[str, ...]
    pix_fmt: str
    crf: tuple[int, int, int] | None
    settings: Mapping[str, str] = field(default_factory=dict)
    rgb: str | None = None
    exact: Mapping[str, str] = field(default_factory=dict)
    clear: bool = False


CODECS = {
    # without mbtree, whose AVX code reads memory that nobody wrote: the same frames then had other bytes, at sizes such as 96x128
    "h264": Codec(
        "libx264", (".mp4", ".mov", ".mkv"), "yuv420p", (0, 51, 16), {"preset": "medium", "x264-params": "mbtree=0"}, "libx264rgb",
        {"crf": "0"},
    ),
    "hevc": Codec(
        "libx265", (".mp4", ".mov", ".mkv"), "yuv420p", (0, 51, 18), {"preset": "medium", "x265-params": "log-level=error"},
        exact={"x265-params": "log-level=error:lossless=1"},
    ),
    "vp9": Codec("libvpx-vp9", (".webm", ".mkv", ".mp4"), "yuv420p", (0, 63, 24), {"b:v": "0", "cpu-used": "4"}, exact={"lossless": "1"}),
    "av1": Codec("libsvtav1", (".mp4", ".mkv", ".webm"), "yuv420p", (1, 63, 26), {"preset": "8"}),
    "prores": Codec("prores_ks", (".mov", ".mkv"), "yuv422p10le", None, {"vendor": "apl0"}, clear=True),
    "ffv1": Codec("ffv1", (".mkv",), "bgr0", None, {"level": "3", "slicecrc": "1", "g": "1"}),
}  # fmt: skip
USUAL = {".mp4": "h264", ".mov": "h264", ".mkv": "h264", ".webm": "vp9"}


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked encoding: FFmpeg's encoder, its settings, pixel format, and the tag under which Apple's players look for it."""

    encoder: str
    settings: Mapping[str, str]
    pix_fmt: str
    tag: str | None

    @property
    def rgb(self) -> bool:
        return is_rgb(self.pix_fmt)

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) in the file: a side whose colours are stored at half its pixels is padded to an even number."""
        layout = av.VideoFormat(self.pix_fmt)
        halved = layout.chroma_width(8) < 8, layout.chroma_height(8) < 8
        width, height = (side + side % 2 if half else side for side, half in zip(size, halved, strict=True))
        return width, height


def is_rgb(pix_fmt: str) -> bool:
    return bool(av.VideoFormat(pix_fmt).is_rgb)


def check_format(path: Path) -> None:
    """UsageError for an output with an ending that stands for no format."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"the output {path} has no known ending", f"end it in one of {', '.join(FORMATS)}")


def takes(encoder: str | None) -> list[str]:
    """Pixel formats of an encoder that a clip can be made in; none of an encoder that this build of FFmpeg lacks."""
    try:
        found = av.Codec(encoder, "w").video_formats or [] if encoder else []
    except UnknownCodecError:
        return []
    return [f.name for f in found if not f.name.startswith(ODD_FORMATS) and not f.name.endswith(("f16le", "f32le"))]


def pix_fmts(codec: str) -> list[str]:
    """Pixel formats that a codec of `CODECS` can be written in here; none where the build of PyAV lacks its encoder."""
    entry = CODECS[codec]
    found = dict.fromkeys(takes(entry.encoder) + takes(entry.rgb))
    return [name for name in found if entry.clear or not name.startswith(CLEAR_FORMATS)]


def codec_for(path: Path, name: str | None) -> str:
    """The codec for an output, by name. UsageError for one that scd does not know, that the container cannot hold, or this build lacks."""
    ending = path.suffix.lower()
    if name is not None and name not in CODECS:
        raise UsageError(f"--codec {name} is no codec that scd knows", f"use one of: {', '.join(CODECS)}")
    chosen = name or USUAL[ending]
    if ending not in CODECS[chosen].endings:
        fitting = ", ".join(codec for codec, entry in CODECS.items() if ending in entry.endings)
        raise UsageError(
            f"--codec {chosen} cannot be written into {path}", f"end it in {' or '.join(CODECS[chosen].endings)}, or use --codec {fitting}"
        )
    if not pix_fmts(chosen):
        raise UsageError(f"this build of PyAV has no encoder for --codec {chosen}", "use another codec or install the av wheels of PyPI")
    return chosen


def check_crf(codec: str, crf: int | None) -> None:
    limits = CODECS[codec].crf
    if crf is None:
        return
    if limits is None:
        raise UsageError(f"--crf means nothing to --codec {codec}", "leave it out")
    if not limits[0] <= crf <= limits[1]:
        raise UsageError(f"--crf {crf} is out of the range of --codec {codec}", f"use {limits[0]} (best) to {limits[1]}")


def pix_fmt_for(codec: str, wanted: str | None) -> str:
    chosen = wanted or CODECS[codec].pix_fmt
    if chosen not in pix_fmts(codec):
        raise UsageError(f"--pix-fmt {chosen} cannot be written with --codec {codec}", f"use one of: {', '.join(pix_fmts(codec))}")
    return chosen


def settings_for(codec: str, crf: int | None, pix_fmt: str) -> dict[str, str]:
    """Options of the encoder. RGB is lossless where the codec can be and no crf is given."""
    entry = CODECS[codec]
    settings = dict(entry.settings)
    if codec == "prores":  # 422 HQ, or 4444 for formats that halve no colours
        settings["profile"] = "4" if "444" in pix_fmt else "3"
    if crf is None and entry.exact and is_rgb(pix_fmt):
        return settings | dict(entry.exact)
    if entry.crf is not None:
        settings["crf"] = str(entry.crf[2] if crf is None else crf)
    return settings


def plan(path: Path, encoding: Encoding) -> Plan:
    """The checked encoding of a video file, not of .gif or .png. UsageError as of `check_encoding`."""
    codec = codec_for(path, encoding.codec)
    check_crf(codec, encoding.crf)
    pix_fmt = pix_fmt_for(codec, encoding.pix_fmt)
    entry = CODECS[codec]
    encoder = entry.rgb if entry.rgb and pix_fmt in takes(entry.rgb) else entry.encoder
    tag = "hvc1" if codec == "hevc" and path.suffix.lower() in APPLE else None
    return Plan(encoder, settings_for(codec, encoding.crf, pix_fmt), pix_fmt, tag)


def check_encoding(path: Path, encoding: Encoding) -> None:
    """UsageError, naming what would work, for an ending, codec, crf or pixel format that cannot be, alone or together. Writes nothing."""
    check_format(path)
    if path.suffix.lower() not in PICTURES:
        plan(path, encoding)
    elif encoding != Encoding():
        flag = next(flag for flag, value in asked(encoding).items() if value is not None)
        raise UsageError(f"{flag} means nothing to {path}: {path.suffix} holds pictures", "leave it out or end the output in .mp4")


def asked(encoding: Encoding) -> dict[str, str | int | None]:
    return {"--codec": encoding.codec, "--crf": encoding.crf, "--pix-fmt": encoding.pix_fmt}


def size_in_file(path: Path, size: tuple[int, int], encoding: Encoding | None = None) -> tuple[int, int]:
    """(width, height) that a clip of `size` has in its file: 4:2:0 video pads odd sides by one pixel, pictures and 4:4:4 do not."""
    return size if path.suffix.lower() in PICTURES else plan(path, encoding or Encoding()).size(size)
