"""From a driver and a reference to the pose pictures that the network reads: detection, choice of a person, alignment, drawing."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engines.core.errors import ScdError
from engines.core.keypoints import PoseTrack
from engines.core.report import Report
from engines.generate.request import NO_POSE, AnimateRequest
from engines.generate.studio import Studio
from engines.media.fit import Box
from engines.media.images import read_image
from engines.pose.draw import DrawStyle, draw_pose, fitted
from engines.pose.drivers import PEOPLE, Driver, open_driver
from engines.pose.filmed import film_track, picture_pose
from engines.pose.persons import one_person, smoothed
from engines.pose.readback import picture_fit, read_skeleton, skeleton_track, warped
from engines.pose.retarget import alignment_picture, retarget

Picture = NDArray[np.uint8]
Points = NDArray[np.float32]
Fit = tuple[float, tuple[float, float]]  # scale, and shift in pixels
SAME_SIZE, SAME_PLACE = 0.04, 0.02  # of the scale, and of the reference's height: a drawn skeleton that is this near stays as it is
BESIDE = (".npz", ".json", "_keypoints.json", "_pose.png")


@dataclass(frozen=True)
class ReferencePose:
    """How the person in the reference stands: `points` (133, 3) in the picture's pixels, or a drawn skeleton; or nothing is known."""

    points: Points | None = None
    drawn: Driver | None = None
    source: str = "none"


@dataclass(frozen=True)
class Poses:
    """What `pose_pictures` draws: driver frames from `first` on, (F, 133, 3) in pixels of a picture of `size`, or the driver's own
    skeletons (None), of which `fit` is the scale and shift into a picture of `size`, if they are to be moved.

    `align` is how they were fitted to the reference; `picture` shows it, where that was asked for.
    """

    driver: Driver
    first: int
    points: Points | None
    size: tuple[int, int]
    align: str = "none"
    picture: Picture | None = field(default=None, repr=False)
    fit: Fit | None = None


def given_reference_pose(request: AnimateRequest, report: Report) -> Driver | None:
    """From --ref-pose, or from a keypoint or skeleton file beside the reference with its name; None where there is neither."""
    if request.ref_pose == NO_POSE:
        return None
    if request.ref_pose is not None:
        if not request.ref_pose.exists():
            raise ScdError(f"the reference's pose {request.ref_pose} does not exist", "check the path given with --ref-pose")
        return drawn_or_keypoints(open_driver(request.ref_pose, name="the reference's pose"))
    candidates = [request.reference.with_name(request.reference.stem + ending) for ending in BESIDE]
    for path in (candidate for candidate in candidates if candidate.is_file()):
        try:
            return drawn_or_keypoints(open_driver(path, name="the reference's pose"))
        except ScdError as error:  # nobody asked for this file: it may be something else of the same name
            report.warn(f"{path} lies beside the reference but is no pose: {error.message}")
    return None


def drawn_or_keypoints(driver: Driver) -> Driver:
    """ScdError for a picture of a person: its pose is the one thing that it does not tell."""
    if driver.kind in PEOPLE:
        raise ScdError(f"the reference's pose {driver.path} shows a person", "leave it out: scd detects the pose of the reference itself")
    return driver


def reference_pose(request: AnimateRequest, given: Driver | None, picture: Picture, studio: Studio) -> ReferencePose:
    """From the file that was given, else detected in the reference picture; a warning where that is not possible."""
    size = (picture.shape[1], picture.shape[0])
    if given is not None and given.track is not None:
        return ReferencePose(fitted(given.track.points[0, 0], given.track.size, size), None, str(given.path))
    if given is not None:
        return ReferencePose(None, given, str(given.path))
    if request.ref_pose == NO_POSE:
        return ReferencePose()
    key = ("reference", studio.sha256(request.reference), request.pose_model)
    try:
        found = studio.references.get(key, lambda: picture_pose(picture, studio.detector(request.pose_model)))
    except ScdError as error:
        studio.report.warn(f"the pose of the reference stays unknown ({error})")
        return ReferencePose()
    if found is None:
        studio.report.warn(f"nobody was found in the reference {request.reference}, whose pose stays unknown: give it with --ref-pose")
        return ReferencePose()
    return ReferencePose(found[0], None, "detected")


def driver_track(request: AnimateRequest, driver: Driver, first: int, stop: int, studio: Studio) -> PoseTrack | None:
    """One person's keypoints: of a film in frames first .. stop - 1, of a keypoint file in all; None for skeletons that are drawn already.

    ScdError when nobody is there.
    """
    if driver.kind in PEOPLE:
        return detected_track(request, driver, first, stop, studio)
    if driver.track is None:
        return None
    points, several = driver.track.points, driver.track.points.shape[1] > 1 or request.person is not None
    alone = one_person(list(points), request.person) if several else points[:, 0]
    return PoseTrack(smoothed(alone, request.smooth or 0)[:, None], driver.track.size, driver.track.fps)


def detected_track(request: AnimateRequest, driver: Driver, first: int, stop: int, studio: Studio) -> PoseTrack:
    detector = studio.detector(request.pose_model)
    if driver.kind == "photo":
        found = picture_pose(read_image(driver.path, driver.name), detector)
        if found is None:
            raise ScdError(f"{driver.name} {driver.path} shows nobody", "use a picture in which a person can be seen, or give keypoints")
        return PoseTrack(found[None], driver.size)
    window = {} if request.smooth is None else {"window": request.smooth}
    track, warnings = film_track(driver.path, first, stop, detector, studio.report, driver.name, request.person, **window)
    for warning in warnings:
        studio.report.warn(warning)
    return track


def poses_of(
    request: AnimateRequest, driver: Driver, indices: list[int], reference: ReferencePose, picture: Picture, studio: Studio
) -> Poses:
    """The driver's poses on the reference's body. Keypoint files are fitted whole, so that a part of one is fitted like the whole."""
    first, stop = (0, driver.frames) if driver.track is not None else (indices[0], max(indices) + 1)
    content = studio.sha256(driver.path) if driver.path.is_file() else driver.path
    key = (content, driver.kind, first, stop, request.pose_model, request.person, request.smooth)
    track = studio.tracks.get(key, lambda: driver_track(request, driver, first, stop, studio))
    size = (picture.shape[1], picture.shape[0])
    if request.align == "none" or reference.points is None:
        if request.align != "none" and request.ref_pose != NO_POSE:
            studio.report.note("the driver's body is not fitted to the reference's: how that stands is unknown")
        return Poses(driver, first, None if track is None else track.points[:, 0], driver.size if track is None else track.size)
    if track is None:
        return drawn_poses(request, driver, (first, stop), reference.points, picture, studio)
    points = track.points[:, 0]
    aligned = retarget(points, track.size, reference.points, size, request.align or "limbs")
    for note in aligned.notes:
        studio.report.note(note)
    shown = None
    if request.align_picture:
        before = retarget(points, track.size, reference.points, size, "none").points
        shown = alignment_picture(picture, before, aligned.points, reference.points)
    return Poses(driver, first, aligned.points, size, aligned.align, shown)


def drawn_poses(
    request: AnimateRequest, driver: Driver, frames: tuple[int, int], reference: Points, picture: Picture, studio: Studio
) -> Poses:
    """Skeletons that are drawn already, moved and scaled as a whole: their joints are read back for that."""
    size = (picture.shape[1], picture.shape[0])
    key = ("drawn", studio.sha256(driver.path), frames)
    read = studio.tracks.get(key, lambda: read_joints(driver, *frames))
    found = picture_fit(read, driver.size, reference, size)
    if found is None:
        studio.report.note("the drawn skeletons are taken as they are: too few of their joints could be read to fit them to the reference")
        return Poses(driver, frames[0], None, driver.size)
    scale, shift, notes = found
    for note in notes:
        studio.report.note(note)
    shown = None
    if request.align_picture:
        before, after = fitted(read, driver.size, size), moved(read, scale, shift)
        shown = alignment_picture(picture, before, after, reference)
    if fits_already(scale, shift, driver.size, size):
        return Poses(driver, frames[0], None, driver.size, "none", shown)
    return Poses(driver, frames[0], None, size, "global", shown, (scale, shift))


def moved(points: Points, scale: float, shift: tuple[float, float]) -> Points:
    out = points.copy()
    out[..., :2] = points[..., :2] * scale + np.asarray(shift, np.float32)
    return out


def read_joints(driver: Driver, first: int, stop: int) -> Points:
    if driver.is_video:
        return skeleton_track(driver.path, first, stop, driver.name)
    return read_skeleton(read_image(driver.path, driver.name))[None]


def fits_already(scale: float, shift: tuple[float, float], source: tuple[int, int], target: tuple[int, int]) -> bool:
    """Whether a fit is as good as putting one picture into the other: reading joints back is no more exact, and moving blurs."""
    plain = min(target[0] / source[0], target[1] / source[1])
    off = [abs(t - (wide - plain * side) / 2) for t, wide, side in zip(shift, target, source, strict=True)]
    return abs(scale / plain - 1) < SAME_SIZE and max(off) < SAME_PLACE * target[1]


def embedded(picture: Picture, box: Box, canvas: tuple[int, int]) -> Picture:
    """A pose picture of the box's size on a black canvas."""
    out = np.zeros((canvas[1], canvas[0], 3), np.uint8)
    out[box.top : box.top + box.height, box.left : box.left + box.width] = picture
    return out


def drawings(poses: Poses, first: int, stop: int, size: tuple[int, int]) -> Iterator[Picture]:
    """Pose pictures uint8 (H, W, 3) of frames first .. stop - 1, fit into `size` (width, height) on black."""
    if poses.points is None and poses.fit is not None:
        scale, (x, y) = poses.fit
        share = size[0] / poses.size[0]
        for picture in poses.driver.shots(first, stop):
            yield warped(picture, scale * share, (x * share, y * share), size)
        return
    if poses.points is None:
        yield from poses.driver.pictures(first, stop, size)
        return
    for points in poses.points[first - poses.first : stop - poses.first]:
        yield draw_pose(points[None], poses.size, size, DrawStyle())


def pose_pictures(poses: Poses, indices: list[int], box: Box, canvas: tuple[int, int]) -> Iterator[Picture]:
    """The pictures for these (rising) frame numbers, in the reference's box; a frame may be used again."""
    first, wanted = indices[0], iter(indices)
    number = next(wanted, None)
    for index, picture in enumerate(drawings(poses, first, indices[-1] + 1, (box.width, box.height)), first):
        placed = embedded(picture, box, canvas)
        while number == index:
            yield placed
            number = next(wanted, None)
    if number is not None:
        raise ScdError(f"the driver {poses.driver.path} ends before its frame {number}", f"use --frames {first}:{number}")


def reference_picture(reference: ReferencePose, size: tuple[int, int], box: Box, canvas: tuple[int, int]) -> Picture:
    """The pose picture of the reference, black where nothing is known of it. `size` is that of the picture its points lie in."""
    if reference.drawn is not None:
        return next(pose_pictures(Poses(reference.drawn, 0, None, reference.drawn.size), [0], box, canvas))
    if reference.points is None:
        return np.zeros((canvas[1], canvas[0], 3), np.uint8)
    drawing = draw_pose(reference.points[None], size, (box.width, box.height), DrawStyle())
    return embedded(drawing, box, canvas)
