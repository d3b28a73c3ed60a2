"""Rendered people as try-on pairs, in VITON-HD's folders: somebody who wears a garment, the garment alone, and where to repaint.

What no photographed set has: for every pair of the test split also the person in the *other* garment, `test/unpaired/`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.core.garments import CATEGORIES, Category
from engines.prepare.writing import save_png, write_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engines.prepare.clip import Clip, ClipSpec, Frame

TRAIN, TEST = "train", "test"  # the set has two parts: val counts as test, and nobody of either is in train


def part_of(spec: "ClipSpec") -> str:
    return TRAIN if spec.split == "train" else TEST


def pair_id(number: int, frame: int) -> str:
    """VITON-HD's way of naming: NNNNN_FF."""
    return f"{number:05d}_{frame:02d}"


def record_file(out: Path, number: int) -> Path:
    """Says which pairs an identity has; written last."""
    return out / "records" / f"{number:05d}.json"


def wardrobe(spec: "ClipSpec") -> tuple[bool, tuple[Category, ...]]:
    """Whether the person of a clip is female, and the categories of what they wear, from the first draws of their seeds alone."""
    import numpy as np

    from engines.prepare.body import random_sex
    from engines.prepare.garments import random_cut

    female = random_sex(np.random.default_rng(spec.part("identity")))
    dress = random_cut(np.random.default_rng(spec.part("clothes")), female).lower == "dress"
    return female, ("dress",) if dress else ("lower", "upper")


def category_of(spec: "ClipSpec", frame: int) -> Category:
    """The garment that a frame is about: they take turns."""
    worn = wardrobe(spec)[1]
    return worn[frame % len(worn)]


def lender(spec: "ClipSpec", everybody: "Sequence[ClipSpec]", category: Category) -> "ClipSpec | None":
    """Whose garment of the category this person also tries on: the nearest before them in the same part of the set (else after them)
    of the same sex who wears one. Those before do not change when a set grows."""
    female = wardrobe(spec)[0]

    def lends(other: "ClipSpec") -> bool:
        sex, worn = wardrobe(other)
        return part_of(other) == part_of(spec) and sex == female and category in worn

    before, after = reversed(everybody[: spec.number]), everybody[spec.number + 1 :]
    return next((other for group in (before, after) for other in group if lends(other)), None)


def lent_frame(spec: "ClipSpec", category: Category) -> int:
    """The first frame of a person that is about the category."""
    return wardrobe(spec)[1].index(category)


def agnostic_mask(frame: "Frame", category: Category) -> "NDArray[np.bool_]":
    """Where to repaint, (H, W): the garment as it was rendered, and what another cut may cover, as `--mask-style limbs` finds it."""
    import numpy as np

    from engines.pose.garment import body_of, face_and_hands, regions, with_limbs
    from engines.prepare.garments import LABELS

    worn, points = np.asarray(frame.labels == LABELS[category], np.bool_), frame.keypoints
    body = body_of(points)
    if body is None:
        return worn
    around = with_limbs(regions(frame.picture, points, body), worn, np.asarray(frame.labels > 0, np.bool_), category)
    return np.asarray(worn | (around & ~face_and_hands(worn.shape, points)), np.bool_)


def openpose(points: "NDArray[np.float32]", size: tuple[int, int]) -> dict[str, Any]:
    """133 points as OpenPose's JSON of one person, body in BODY_25."""
    import numpy as np

    from engines.core.keypoints import FACE, LEFT_HAND, RIGHT_HAND, openpose_body
    from engines.pose.files import BODY_25_FEET, BODY_25_TO_18

    body = np.zeros((25, 3), np.float32)
    body[list(BODY_25_TO_18)] = openpose_body(points)
    body[8] = [*points[11:13, :2].mean(0), points[11:13, 2].min()]
    body[list(BODY_25_FEET.values())] = points[list(BODY_25_FEET)]
    parts = {"pose": body, "face": points[FACE], "hand_left": points[LEFT_HAND], "hand_right": points[RIGHT_HAND]}
    person = {f"{name}_keypoints_2d": [round(float(v), 3) for v in part.ravel()] for name, part in parts.items()}
    return {"version": 1.3, "canvas_width": size[0], "canvas_height": size[1], "people": [person]}


class Folders:
    """The folders of one part of the set; pictures are written as PNG."""

    def __init__(self, out: Path, part: str) -> None:
        self.root = out / part

    def path(self, folder: str, name: str) -> Path:
        path = self.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def save(self, folder: str, name: str, picture: "NDArray[np.uint8]") -> None:
        save_png(self.path(folder, f"{name}.png"), picture)


def write_pair(
    folders: Folders, name: str, frame: "Frame", garment: "tuple[NDArray[np.uint8], NDArray[np.bool_]]", category: Category
) -> None:
    import numpy as np

    mask = agnostic_mask(frame, category)
    hidden = np.where(mask[..., None], np.uint8(128), frame.picture)
    folders.save("image", name, frame.picture[..., ::-1])
    folders.save("cloth", name, garment[0][..., ::-1])
    folders.save("cloth-mask", name, np.where(garment[1], 255, 0).astype(np.uint8))
    folders.save("agnostic-mask", f"{name}_mask", np.repeat(np.where(mask, 255, 0).astype(np.uint8)[..., None], 3, axis=2))
    folders.save("agnostic-v3.2", name, hidden[..., ::-1])
    size = (frame.picture.shape[1], frame.picture.shape[0])
    folders.path("openpose_json", f"{name}_keypoints.json").write_text(json.dumps(openpose(frame.keypoints, size)))


def write_pairs(out: Path, spec: "ClipSpec", everybody: "Sequence[ClipSpec]") -> None:
    """All pairs of one identity, and in the test part what they look like in the garments that they are lent."""
    from engines.prepare.clip import Clip

    clip, folders = Clip(spec), Folders(out, part_of(spec))
    worn = wardrobe(spec)[1]
    garments, others = {c: clip.garment(c) for c in worn}, {c: lender(spec, everybody, c) for c in worn}
    changed = {c: Clip(spec, (other, c)) for c, other in others.items() if other is not None and folders.root.name == TEST}
    records = []
    for index, frame in enumerate(clip.frames()):
        name, category = pair_id(spec.number, index), category_of(spec, index)
        write_pair(folders, name, frame, garments[category], category)
        other = others[category]
        lent = None if other is None else pair_id(other.number, lent_frame(other, category))
        records.append({"id": name, "part": folders.root.name, "category": category, "unpaired": lent, **facts_of(clip)})
        if category in changed:
            folders.save("unpaired", name, changed[category].draw(clip.posed[index], clip.drift[index]).picture[..., ::-1])
    path = record_file(out, spec.number)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(records))


def facts_of(clip: "Clip") -> dict[str, Any]:
    facts = clip.facts()
    return {name: facts[name] for name in ("identity", "motion", "clothes", "camera")}


def write_lists(out: Path, identities: int) -> tuple[list[str], dict[str, Any]]:
    """VITON-HD's lists ("PERSON GARMENT", the garment not their own) and pairs.jsonl; returns the latter's lines, and counts for
    dataset.json."""
    records = [record for n in range(identities) for record in json.loads(record_file(out, n).read_text())]
    for part in (TRAIN, TEST):
        pairs = [f"{r['id']}.png {r['unpaired']}.png\n" for r in records if r["part"] == part and r["unpaired"]]
        write_text(out / f"{part}_pairs.txt", "".join(pairs))
    lines = [json.dumps(record) for record in records]
    write_text(out / "pairs.jsonl", "\n".join(lines) + "\n")
    counts = {part: {c: sum(r["part"] == part and r["category"] == c for r in records) for c in CATEGORIES} for part in (TRAIN, TEST)}
    return lines, {"pairs": counts}
