"""Poses of a filmed person: decoded ahead of the networks, detected once a file, cleaned, and of one person."""

import hashlib
import queue
import threading
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.core.bundle import sha256
from engines.core.errors import ScdError
from engines.core.keypoints import COUNT, PoseTrack
from engines.core.places import cache_folder
from engines.core.report import Report
from engines.media.output import atomic
from engines.media.video import VideoInfo, probe, read_frames
from engines.pose.detector import Detector, Picture, Points, people
from engines.pose.persons import Gaps, filled, one_person, shown, sides_kept, size_of, smoothed

AHEAD = 4  # decoded frames that wait for the networks: 25 MB at 1920x1080
LIMIT_SECONDS = 0.5  # gaps up to this are interpolated
WINDOW = 7  # frames that smoothing looks at
NAMED = 4  # ranges that a warning names
BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@contextmanager
def ahead(frames: Iterator[Picture], depth: int = AHEAD) -> Iterator[Iterator[Picture]]:
    """The frames, taken by a thread that works while the caller does; its exceptions come out here, and it ends when the block does."""
    waiting: queue.Queue[Picture | BaseException | None] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: Picture | BaseException | None) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                return waiting.put(item, timeout=0.1)

    def work() -> None:
        try:
            for frame in frames:
                put(frame)
                if stop.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)
        finally:
            if isinstance(frames, Generator):
                frames.close()  # the file is let go here, by the thread that opened it

    thread = threading.Thread(target=work, name="scd-decode", daemon=True)
    thread.start()
    try:
        yield taken(waiting)
    finally:
        stop.set()
        thread.join()


def taken(waiting: "queue.Queue[Picture | BaseException | None]") -> Iterator[Picture]:
    while (item := waiting.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item


def detect_film(path: Path, start: int, stop: int | None, detector: Detector, report: Report, name: str = "the video") -> list[Points]:
    """Everybody (P, 133, 3) in each of the frames start .. stop - 1 of a video, as the detector finds them.

    `name` is the file's role in errors. Results are kept in scd's cache by the file's content, the
    range and the detector. ScdError for a file that cannot be read.
    """
    total = len(range(*slice(start, stop).indices(probe(path, name).frames)))
    kept = cache_folder() / "poses" / f"{key(path, start, start + total, detector.name)}.npz"
    found = load(kept, total)
    if found is None:
        found = []
        with report.stage("detect poses", total) as bar, ahead(read_frames(path, start, start + total, name)) as frames:
            for points in detector.track(frames):
                found.append(points)
                bar.advance(1)
        store(kept, found)
    return found


def key(path: Path, start: int, stop: int, detector: str) -> str:
    return hashlib.sha256(f"{sha256(path)} {start}:{stop} {detector}".encode()).hexdigest()


def load(path: Path, total: int) -> list[Points] | None:
    """What `store` wrote, or None where there is nothing or anything but that."""
    try:
        with np.load(path, allow_pickle=False) as data:
            counts, points = np.asarray(data["counts"]), np.asarray(data["points"])
    except BROKEN:
        return None
    fits = counts.shape == (total,) and counts.dtype.kind == "i" and points.dtype == np.float32 and points.shape[1:] == (COUNT, 3)
    if not fits or (counts < 0).any() or counts.sum() != len(points) or not np.isfinite(points).all():
        return None
    return np.split(points, np.cumsum(counts)[:-1]) if total else []


def store(path: Path, found: list[Points]) -> None:
    """For the next time; a cache that cannot be written costs only that."""
    points = np.concatenate([np.zeros((0, COUNT, 3), np.float32), *found])
    with suppress(OSError, ScdError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path, overwrite=True) as temporary, temporary.open("wb") as file:
            np.savez(file, counts=np.array([len(p) for p in found], np.int64), points=points)


def film_track(
    path: Path,
    start: int,
    stop: int | None,
    detector: Detector,
    report: Report,
    name: str = "the video",
    person: int | None = None,
    limit: int | None = None,
    window: int = WINDOW,
) -> tuple[PoseTrack, list[str]]:
    """One person of a film in every frame of the range (P = 1), and warnings to pass on: frames where they had to be guessed.

    `person` counts from 1 by size and presence, None is 1. Gaps of up to `limit` frames (None: half a second) are interpolated; `window`
    frames are smoothed over, 0 for none. ScdError when nobody is there in any frame, or fewer people than asked for.
    """
    info = probe(path, name)
    found = detect_film(path, start, stop, detector, report, name)
    if not any(len(p) and shown(p).any() for p in found):
        hint = "use a clip in which a person can be seen, or give keypoints or a skeleton video"
        raise ScdError(f"{name} {path} shows nobody in any of its {len(found)} frames", hint)
    most = max(1, round(float(info.fps) * LIMIT_SECONDS)) if limit is None else limit
    points, gaps = filled(sides_kept(one_person(found, person)), most)
    return as_track(smoothed(points, window), info), told(gaps, start, f"{name} {path}")


def as_track(points: Points, info: VideoInfo) -> PoseTrack:
    return PoseTrack(points[:, None], info.size, info.fps)


def told(gaps: Gaps, start: int, what: str) -> list[str]:
    """Sentences that name the frames, counted in the film."""
    out = []
    if gaps.interpolated:
        out.append(f"{what} does not show the person in frames {ranges(gaps.interpolated, start)}; their pose there is interpolated")
    if gaps.held:
        out.append(f"{what} does not show the person in frames {ranges(gaps.held, start)}; the nearest pose is held there")
    return out


def ranges(pairs: tuple[tuple[int, int], ...], start: int) -> str:
    """ "3-5, 9 and 2 more"."""
    texts = [str(a + start) if a == b else f"{a + start}-{b + start}" for a, b in pairs[:NAMED]]
    more = len(pairs) - NAMED
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")


def picture_pose(picture: NDArray[np.uint8], detector: Detector) -> Points | None:
    """(1, 133, 3) of the largest person of a picture uint8 (H, W, 3), or None when there is nobody."""
    found = people(detector, picture)
    if not any(shown(row).any() for row in found):
        return None
    largest: Points = max(found, key=size_of)
    return largest[None]
