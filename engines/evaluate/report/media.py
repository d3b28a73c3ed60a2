"""Clips, stills, posters and contact sheets of the report page, written while frames stream by."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engines.core.cores import usable_cores
from engines.core.report import Report
from engines.media.encoding import Plan
from engines.media.fit import resize
from engines.media.sheets import contact_sheet
from engines.media.writer import VideoSink, encoder_errors

Picture = NDArray[np.uint8]
CLIP_SIDE, STILL_SIDE, TILE = 512, 1024, 160  # most pixels of the longer side
AMPLIFIED = 3  # times, in the difference
# what every browser plays; the preset is a quarter of the time of `animate`'s for clips that are looked at once
H264 = Plan("libx264", {"preset": "veryfast", "crf": "22", "x264-params": "mbtree=0"}, "yuv420p", None)
WORKERS = 4
TITLES = {
    "reference": "Reference", "pose": "Pose", "prediction": "Prediction", "truth": "Truth", "difference": f"Difference ×{AMPLIFIED}",
}  # fmt: skip


@dataclass(frozen=True)
class Panels:
    """What can be shown of one video. Each call of `prediction`, `truth` and `pose` starts anew and streams uint8 (H, W, 3) RGB.

    Prediction and truth have equally many frames of one size; poses may have another size, and fewer frames: the last one stays.
    """

    id: str
    fps: Fraction
    reference: Callable[[], Picture] | None
    prediction: Callable[[], Iterator[Picture]]
    truth: Callable[[], Iterator[Picture]]
    pose: Callable[[], Iterator[Picture]] | None


@dataclass(frozen=True, slots=True)
class Order:
    """What to make of one video: `stem` begins its files' names, `sheets` are places of frames by kind, `labels` what is said of them."""

    panels: Panels
    stem: str
    frames: int
    sheets: Mapping[str, Sequence[int]]
    labels: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Item:
    """A picture or clip that was written: its file's and poster's names in media/, and its (width, height)."""

    role: str
    file: str
    poster: str | None
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything written of one video; `items` in the order of showing, `sheets` by kind."""

    order: Order
    items: tuple[Item, ...]
    sheets: Mapping[str, Item]


def within(picture: Picture, side: int) -> Picture:
    """Shrunk until the longer side has at most so many pixels."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    return picture if scale >= 1 else resize(picture, (max(1, round(width * scale)), max(1, round(height * scale))))


def difference(prediction: Picture, truth: Picture) -> Picture:
    """uint8: |prediction - truth| times `AMPLIFIED`, at most 255."""
    out: Picture = cv2.convertScaleAbs(cv2.absdiff(prediction, truth), alpha=AMPLIFIED).astype(np.uint8)
    return out


def moments(panels: Panels, stack: ExitStack) -> Iterator[dict[str, Picture]]:
    """For each frame the pictures by role. The streams are closed with the stack."""

    def opened(make: Callable[[], Iterator[Picture]]) -> Iterator[Picture]:
        stream = make()
        stack.callback(getattr(stream, "close", lambda: None))
        return stream

    poses = iter(()) if panels.pose is None else opened(panels.pose)
    pose: Picture | None = None
    for prediction, truth in zip(opened(panels.prediction), opened(panels.truth), strict=True):
        pose = next(poses, pose)
        shown = {} if pose is None else {"pose": pose}
        yield shown | {"prediction": prediction, "truth": truth, "difference": difference(prediction, truth)}


def save(path: Path, picture: Picture, quality: int) -> None:
    """As WebP or JPEG, by the ending."""
    Image.fromarray(picture).save(path, quality=quality)


def size_of(picture: Picture) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]


def reference_item(folder: Path, order: Order, side: int) -> tuple[Item, ...]:
    if order.panels.reference is None:
        return ()
    picture, name = within(order.panels.reference(), side), f"{order.stem}-reference.webp"
    save(folder / name, picture, 90)
    return (Item("reference", name, None, size_of(picture)),)


def make_stills(folder: Path, order: Order) -> Shown:
    """A video of a single frame, as a try-on pair is."""
    items = []
    with ExitStack() as stack:
        for role, picture in next(moments(order.panels, stack)).items():
            name, small = f"{order.stem}-{role}.webp", within(picture, STILL_SIDE)
            save(folder / name, small, 90)
            items.append(Item(role, name, None, size_of(small)))
    return Shown(order, (*reference_item(folder, order, STILL_SIDE), *items), {})


def make_sheets(folder: Path, order: Order, kept: Mapping[int, tuple[Picture, Picture]]) -> dict[str, Item]:
    """One contact sheet of each kind: predictions above their truths."""
    out = {}
    for kind, places in order.sheets.items():
        pictures = [kept[place][side] for side in (0, 1) for place in places]
        labels = [*(order.labels[place] for place in places), *["truth"] * len(places)]
        sheet, name = contact_sheet(pictures, len(places), TILE * len(places), labels), f"{order.stem}-{kind}.webp"
        save(folder / name, sheet, 88)
        out[kind] = Item(kind, name, None, size_of(sheet))
    return out


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip that is being written."""

    item: Item
    path: Path
    sink: VideoSink

    def write(self, picture: Picture) -> None:
        with encoder_errors(self.path):
            self.sink.write(picture)

    def finish(self) -> None:
        with encoder_errors(self.path):
            self.sink.finish()


def open_clip(folder: Path, order: Order, role: str, first: Picture, stack: ExitStack) -> Clip:
    """A new clip, and its poster; closed with the stack."""
    item = Item(role, f"{order.stem}-{role}.mp4", f"{order.stem}-{role}.jpg", size_of(first))
    save(folder / str(item.poster), first, 85)
    path = folder / item.file
    with encoder_errors(path):
        sink = VideoSink(path, order.panels.fps, item.size, H264, None, {})
    stack.callback(sink.close)
    return Clip(item, path, sink)


def make_clips(folder: Path, order: Order) -> Shown:
    """A clip for each role with its first frame as poster, all in one pass over the frames, and the sheets."""
    wanted = {place for places in order.sheets.values() for place in places}
    kept: dict[int, tuple[Picture, Picture]] = {}
    clips: dict[str, Clip] = {}
    with ExitStack() as stack:
        for place, shown in enumerate(moments(order.panels, stack)):
            small = {role: within(picture, CLIP_SIDE) for role, picture in shown.items()}
            clips = clips or {role: open_clip(folder, order, role, picture, stack) for role, picture in small.items()}
            for role, clip in clips.items():
                clip.write(small[role])
            if place in wanted:
                kept[place] = small["prediction"], small["truth"]
        for clip in clips.values():
            clip.finish()
    items = (clip.item for clip in clips.values())
    return Shown(order, (*reference_item(folder, order, CLIP_SIDE), *items), make_sheets(folder, order, kept))


def make_all(folder: Path, orders: Sequence[Order], report: Report) -> list[Shown]:
    """Files of all videos in the folder media/, a few videos at a time; memory does not grow with their length.

    ScdError of whatever cannot be read. What frames lack of the order's number is no error here: pairing has counted them.
    """
    if not orders:
        return []
    folder.mkdir()
    out: list[Shown] = []
    with report.stage("clips for the report", len(orders)) as bar, ThreadPoolExecutor(min(WORKERS, usable_cores()), "scd-report") as pool:
        for shown in pool.map(lambda order: (make_clips if order.frames > 1 else make_stills)(folder, order), orders):
            out.append(shown)
            bar.advance(1)
    return out
