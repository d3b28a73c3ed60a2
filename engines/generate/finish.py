"""What happens to a decoded frame before it is written: compositing, the grid of --grid, and the sheet of --preview."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engines.generate.denoise import Features, Settings
from engines.generate.pipeline import Pipeline
from engines.generate.request import AnimateRequest
from engines.generate.studio import Studio
from engines.media.composite import composited, soft
from engines.media.fit import resize
from engines.media.images import write_png
from engines.media.sheets import contact_sheet, side_by_side
from engines.pose.segment import Segmenter

Picture = NDArray[np.uint8]
Mask = NDArray[np.float32]
GROWN, FEATHERED = 0.02, 0.02  # of the longer side: masks are a little small, and their edge is soft
FAINT = 0.1  # of the network's certainty
DRAWN = 32  # grey levels of what counts as drawn in a pose picture
PREVIEW_FRAMES, PREVIEW_STEPS, PREVIEW_WIDTH = 6, 8, 1200


@dataclass(frozen=True)
class Compositor:
    """Pastes the person of a frame over the reference's own background, `background` (H, W, 3).

    Behind the person of the reference nothing is known: there, `hole` (H, W), the generated background stays.
    """

    background: Picture
    hole: Mask
    segmenter: Segmenter

    def __call__(self, frame: Picture, pose: Picture) -> Picture:
        """A frame and its pose picture. The skeleton is where the network overlooks a thin or a blurred limb."""
        lit = (pose.max(axis=2) > DRAWN).astype(np.float32)
        person = np.maximum(person_mask(self.segmenter, frame), widened(lit))
        return composited(frame, self.background, np.maximum(self.hole, person))


def person_mask(segmenter: Segmenter, picture: Picture) -> Mask:
    """(H, W) in 0 .. 1, grown and feathered; exactly 0 where the network only faintly sees anybody."""
    mask = segmenter.mask(picture)
    return widened(np.where(mask < FAINT, np.float32(0), mask))


def widened(mask: Mask) -> Mask:
    side = max(mask.shape)
    return soft(mask, round(GROWN * side), round(FEATHERED * side))


@dataclass(frozen=True)
class Finish:
    """`size` (width, height) is that of the finished frames."""

    size: tuple[int, int]
    compositor: Compositor | None
    beside: Picture | None  # the reference, in a grid

    @property
    def wants_pose(self) -> bool:
        return self.beside is not None or self.compositor is not None

    def __call__(self, frame: Picture, pose: Picture | None) -> Picture:
        """A frame and its pose picture, both of the clip's size, as what the file shows."""
        if pose is None:
            return frame
        if self.compositor is not None:
            frame = self.compositor(frame, pose)
        if self.beside is None:
            return frame
        return side_by_side([self.beside, pose, frame], frame.shape[0])


def finisher(request: AnimateRequest, picture: Picture, size: tuple[int, int], studio: Studio) -> Finish:
    """For frames of `size` (width, height) made of the reference `picture`."""
    shown = resize(picture, size)
    compositor = None
    if request.composite:
        segmenter = studio.segmenter()
        compositor = Compositor(shown, person_mask(segmenter, shown), segmenter)
    if not request.grid:
        return Finish(size, compositor, None)
    whole = side_by_side([shown] * 3, size[1])
    return Finish((whole.shape[1], whole.shape[0]), compositor, shown)


def write_preview(
    request: AnimateRequest, pipeline: Pipeline, features: Features, settings: Settings, poses: list[Picture], reference: Picture
) -> None:
    """A few frames of the clip, each denoised alone and in few steps, under their poses: enough to see whether it is worth the wait.

    `poses` are the pose pictures of `preview_frames`, `reference` the model's canvas.
    """
    few = replace(settings, steps=min(settings.steps, PREVIEW_STEPS), reuse=1)
    numbers = preview_frames(len(features))
    alone = [pipeline.denoise(features[number : number + 1], few, lambda: None) for number in numbers]
    made = list(pipeline.decode(np.concatenate(alone)))
    labels = ["reference", *map(str, numbers), "", *map(str, numbers)]
    sheet = contact_sheet([reference, *poses, reference, *made], len(numbers) + 1, PREVIEW_WIDTH, labels)
    write_png(request.preview_path, sheet, True)


def preview_frames(count: int) -> list[int]:
    """Spread over a clip of so many frames."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, PREVIEW_FRAMES))})
