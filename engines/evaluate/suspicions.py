"""What makes the figures of a pairing doubtful: JPEG against PNG, other frame rates, swapped sides, the truth judged as a prediction."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from engines.evaluate.frames import Geometry, Size, check_equal, cropped, native_size
from engines.evaluate.pairs import Pair, digest
from engines.evaluate.videos import PICTURES, Found, Video

DATA_SETS = ("TikTok tree", "One-to-All tree", "scd data set", "VITON-HD", "DressCode")
OURS = {"model", "seed", "settings"}  # text chunks of pictures that scd animate writes
ASPECT = 0.01  # share by which aspect ratios may differ through rounding


def suspicions(pairs: Sequence[Pair], pred: Found, truth: Found) -> list[str]:
    """Sentences for the user."""
    blocks = [p for p in pairs if format_of(p.pred) == "JPEG" and format_of(p.truth) == "PNG"]
    mixed = [p for p in pairs if bool(p.pred.film) != bool(p.truth.film)]
    rates = [p for p in pairs if p.pred.fps and p.truth.fps and p.pred.fps != p.truth.fps]
    itself = [p for p in pairs if same(p)]
    sides = f"{pred.what} and {truth.what}"
    tests = (
        said(blocks, f"JPEG in {pred.what} and PNG in {truth.what}: JPEG changes FID, KID and every pixel metric, save PNG"),
        said(mixed, "a film on one side and pictures on the other: frame n of the film goes with the n-th picture"),
        said(rates, f"of different frame rates in {sides}: frames pair by number, not by time"),
        said(itself, f"the same files in {sides}: the truth is judged against itself"),
    )
    return [*(text for text in tests if text), *swapped(pred, truth)]


def said(pairs: Sequence[Pair], what: str) -> str | None:
    """ "the video a is ..." or "12 videos, the first is a, are ..."; None of none."""
    if not pairs:
        return None
    return f"the video {pairs[0].id} is {what}" if len(pairs) == 1 else f"{len(pairs)} videos, the first is {pairs[0].id}, are {what}"


def format_of(video: Video) -> str:
    """By what is in the first file, not by its name; whoever reads the frames says what is wrong with it."""
    if video.film:
        return "film"
    try:
        with Image.open(video.files[0]) as image:
            return image.format or ""
    except (OSError, SyntaxError, ValueError):
        return PICTURES[video.files[0].suffix.lower()]


def same(pair: Pair) -> bool:
    """Whether both sides have the same bytes; sizes differ nearly always, so that little is read."""
    one, other = pair.pred.files, pair.truth.files
    return one == other or (lengths(one) == lengths(other) and digest(pair.pred) == digest(pair.truth))


def lengths(files: Sequence[Path]) -> list[int]:
    return [path.stat().st_size for path in files]


def swapped(pred: Found, truth: Found) -> list[str]:
    """Whether the prediction looks like a data set, or the truth like results."""
    if made_by_scd(truth) and not made_by_scd(pred):
        return [f"{truth.what} {truth.path} was made by scd animate and {pred.what} was not: are --pred and --gt swapped?"]
    if pred.layout.startswith(DATA_SETS) and not truth.layout.startswith(DATA_SETS):
        return [f"{pred.what} {pred.path} looks like a data set ({pred.layout}) and {truth.what} does not: are --pred and --gt swapped?"]
    return []


def made_by_scd(found: Found) -> bool:
    """By the text in the first picture."""
    first = next(iter(found.videos.values())).files[0]
    if first.suffix.lower() != ".png":
        return False
    try:
        with Image.open(first) as image:
            return image.info.keys() >= OURS
    except (OSError, SyntaxError, ValueError):
        return False


def check_sizes(pairs: Sequence[Pair], geometry: Geometry) -> list[str]:
    """Looks at the first frames of all videos before any is judged: a warning about other shapes.

    ScdError as of `frames.match` when sizes differ and no rule says whose counts, and for first frames that cannot be read.
    """
    odd = []
    for pair in pairs:
        pred, truth = native_size(pair.pred, pair.roles[0]), native_size(pair.truth, pair.roles[1])
        if geometry.size is None and geometry.match == "none":
            names = (f"{pair.roles[0]} {pair.pred.file_of(0)}", f"{pair.roles[1]} {pair.truth.file_of(0)}")
            check_equal(cropped(pred, geometry.crop), cropped(truth, geometry.crop), names)
        if shapes_differ(pred, truth, geometry):
            odd.append((pair, pred, truth))
    if not odd:
        return []
    pair, pred, truth = odd[0]
    how = "a square cut from each shows other parts of the picture" if geometry.crop != "none" else "one of them is stretched"
    sizes = f"{pred[0]}x{pred[1]} in {pair.roles[0]} and {truth[0]}x{truth[1]} in {pair.roles[1]}"
    return [f"{said([p for p, *_ in odd], 'of other shape on either side')}, {sizes}: {how}"]


def shapes_differ(pred: Size, truth: Size, geometry: Geometry) -> bool:
    """A square beside a longer picture is no doubt where squares are cut: it is taken for such a cut."""
    if geometry.crop == "centre-square" and (pred[0] == pred[1] or truth[0] == truth[1]):
        return False
    return abs(pred[0] * truth[1] / (pred[1] * truth[0]) - 1) > ASPECT
