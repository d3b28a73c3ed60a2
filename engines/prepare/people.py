"""A synthetic person: identity (shape, skin, hair), clothes and hands, each seeded apart, so that one person can change clothes."""

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.prepare import garments, textures
from engines.prepare.body import BaseBody, Shape, base_body, random_shape
from engines.prepare.garments import LABELS, Cut, Part
from engines.prepare.landmarks import vertex_mask
from engines.prepare.mesh import Floats
from engines.prepare.raster import Scene

Clothes = tuple[list[Part], list[Floats], dict[str, Any]]  # parts, what they cover (lower, upper, shoes), and facts


@lru_cache(maxsize=1)
def ear_mask() -> NDArray[np.bool_]:
    return vertex_mask(base_body(), "ears")


@dataclass
class Person:
    """Everything of a person that does not depend on the pose. `parts` are drawn together; `facts` go into the metadata."""

    base: BaseBody
    shape: Shape
    parts: list[Part]
    facts: dict[str, Any]

    def scene(self, points: Floats, transforms: Floats, only: str | None = None) -> Scene:
        """The parts (or only those of one garment) around posed base vertices (19158, 3)."""
        parts = [p for p in self.parts if only is None or p.name == only]
        posed = [part.posed(points, transforms) for part in parts]
        starts = np.cumsum([0, *(len(p) for p, _ in posed)])
        sizes = [len(part.faces) for part in parts]
        return Scene(
            np.concatenate([p for p, _ in posed]), np.concatenate([n for _, n in posed]), np.concatenate([p.uv for p in parts]),
            np.concatenate([p.cut for p in parts]), np.concatenate([p.faces + s for p, s in zip(parts, starts[:-1], strict=True)]),
            np.repeat(np.arange(len(parts), dtype=np.int32), sizes), np.repeat(np.array([LABELS[p.name] for p in parts], np.uint8), sizes),
            stacked_textures(parts), np.array([p.gloss for p in parts], np.float32),
        )  # fmt: skip


def stacked_textures(parts: list[Part]) -> NDArray[np.uint8]:
    """(parts, 512, 512, 3); a small texture is repeated to the common size."""
    full = textures.SIZE
    return np.stack([np.tile(p.texture, (full // len(p.texture), full // len(p.texture), 1)) for p in parts])


def head_parts(rng: np.random.Generator, base: BaseBody, shape: Shape) -> tuple[list[Part], NDArray[np.float64], str]:
    """Eyes, lashes and hair; also the hair's tone (for the brows) and the name of the style."""
    hair, tone = textures.hair_texture(rng)
    iris = textures.eye_texture(rng)
    parts = [garments.eye_part(base, shape, iris, "l"), garments.eye_part(base, shape, iris, "r"), garments.lash_part(base)]
    styles = ["short", "bob", "long", "bun"] if shape.female else ["short", "crop", "bun"]
    style = str(rng.choice(styles, p=[0.14, 0.3, 0.4, 0.16] if shape.female else [0.6, 0.36, 0.04]))
    thickness = {"crop": 0.005, "bun": 0.009}.get(style, float(rng.uniform(0.012, 0.024)))
    parts.append(garments.scalp_part(base, shape, ear_mask(), hair, thickness))
    if style in ("bob", "long"):
        length = float(rng.uniform(0.0, 0.06) if style == "bob" else rng.uniform(0.1, 0.26))
        parts.append(garments.curtain_part(base, shape, hair, length, float(rng.uniform(0, 6))))
    if style == "bun":
        parts.append(garments.bun_part(base, shape, hair, float(rng.uniform(0.035, 0.055))))
    return parts, tone, style


def clothes_parts(rng: np.random.Generator, base: BaseBody, shape: Shape, cut: Cut) -> Clothes:
    """Garments, the fields that say what they cover, and facts."""
    fields = garments.garment_fields(base, shape, cut)
    plain = textures.pattern(rng)
    printed = bool(rng.random() < 0.6)
    front = textures.print_on(rng, plain, float(rng.uniform(0.16, 0.3))) if printed else plain
    upper = textures.finish(rng, front)
    lower = textures.finish(rng, plain) if cut.lower == "dress" else textures.lower_texture(rng)
    top, bottom = ("dress", "dress") if cut.lower == "dress" else ("upper", "lower")
    under = textures.finish(rng, np.ones((512, 512, 3)) * textures.DENIM[3]) if cut.lower == "dress" else lower
    flare = float(rng.choice([0.0, 0.0, 0.02])) if cut.lower in ("trousers", "shorts") else 0.0
    parts = [
        garments.cloth(bottom, under, fields["lower"], shape, 0.006 if flare == 0 else 0.009, flare=flare),
        *split_back(garments.cloth(top, upper, fields["upper"], shape, cut.loose, flare=0.008), plain, printed, base, rng),
    ]
    if cut.lower in ("skirt", "dress"):
        parts.append(garments.skirt_part(lower, shape, cut.leg, bottom))
    shoe = np.ones((8, 8, 3)) * textures.colour(rng, 0.3)
    shoes = garments.cloth("shoes", np.clip(shoe, 0, 255).astype(np.uint8), fields["shoes"], shape, 0.012)
    shoes.gloss = 0.2
    facts = {"cut": asdict(cut), "print": printed}
    return [*parts, shoes], [fields["lower"], fields["upper"], fields["shoes"]], facts


def split_back(part: Part, plain: NDArray[np.float64], printed: bool, base: BaseBody, rng: np.random.Generator) -> list[Part]:
    """A printed shirt as front and back, so that the print is not mirrored through to the back."""
    if not printed:
        return [part]
    assert part.matrix is not None
    depth = np.asarray(part.matrix @ base.vertices)[:, 1]
    middle = float(base.vertices[base.bone_mask("spine")][:, 1].mean())
    behind = (depth[part.faces] > middle).all(axis=1)
    back = Part(**{**part.__dict__, "texture": textures.finish(rng, plain), "faces": part.faces[behind], "geometry_faces": part.faces})
    front = Part(**{**part.__dict__, "faces": part.faces[~behind], "geometry_faces": part.faces})
    return [front, back]


def changed(own: Clothes, other: Clothes, category: str) -> Clothes:
    """One's own clothes with the garment of a category (upper, lower, dress) of another set of clothes in the place of one's own."""
    parts = [p for p in own[0] if p.name != category] + [p for p in other[0] if p.name == category]
    taken = {"lower": (True, False), "upper": (False, True), "dress": (True, True)}[category]
    fields = [(other if new else own)[1][place] for place, new in enumerate((*taken, False))]
    return parts, fields, other[2] | {"changed": category}


def random_person(
    identity: np.random.SeedSequence, clothes: np.random.SeedSequence, change: tuple[np.random.SeedSequence, str] | None = None
) -> Person:
    """The person of an identity seed in the clothes of a clothes seed; `change` (another clothes seed, upper, lower or dress) gives one
    garment of those clothes, cut for this body."""
    rng = np.random.default_rng(identity)
    base, shape = base_body(), random_shape(rng)
    head, tone, style = head_parts(rng, base, shape)
    skin = textures.skin_tone(rng, shape)
    skin_texture = textures.skin_texture(rng, base, shape, skin, tone)

    def wardrobe(seed: np.random.SeedSequence) -> Clothes:
        dress = np.random.default_rng(seed)
        return clothes_parts(dress, base, shape, garments.random_cut(dress, shape.female))

    worn, fields, facts = wardrobe(clothes) if change is None else changed(wardrobe(clothes), wardrobe(change[0]), change[1])
    body = garments.body_part(base, skin_texture, garments.covered(base, shape, fields))
    facts |= {"female": shape.female, "hair": style, **{k: round(v, 4) for k, v in shape.parameters.items()}}
    return Person(base, shape, [body, *head, *worn], facts)
