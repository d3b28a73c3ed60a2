"""Procedural textures: skin, cloth, hair, eyes, and the prints of shirts. All (512, 512, 3) uint8."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from engines.prepare.body import BaseBody, Shape
from engines.prepare.mesh import triangles

SIZE = 512
Texture = NDArray[np.uint8]
Colour = NDArray[np.float64]

SANE = np.array(
    [
        [245, 245, 242], [28, 28, 32], [52, 56, 66], [118, 122, 128], [176, 178, 176], [36, 48, 84], [64, 92, 140], [120, 152, 190],
        [142, 38, 44], [188, 60, 52], [206, 128, 60], [226, 190, 96], [92, 112, 74], [48, 84, 64], [84, 132, 128], [150, 118, 88],
        [206, 184, 150], [112, 78, 60],
        [132, 92, 132], [214, 160, 170], [200, 210, 226], [70, 58, 96],
    ],
    float,
)  # fmt: skip
DENIM = np.array(
    [[36, 46, 78], [52, 70, 108], [88, 112, 150], [30, 32, 38], [92, 82, 66], [72, 76, 80], [196, 182, 152], [60, 52, 46]], float
)
HAIR = np.array([[24, 18, 16], [44, 30, 22], [72, 48, 32], [112, 78, 48], [186, 148, 94], [128, 56, 32], [138, 136, 134]], float)
WORDS = (
    "SCD",
    "NOVA",
    "DANCE",
    "07",
    "23",
    "88",
    "CLUB",
    "WAVE",
    "ECHO",
    "MOVE",
    "LA",
    "42",
    "KITE",
    "RUN",
    "BLUE",
    "TEAM 9",
    "ZERO",
    "K2",
    "VIBE",
    "A1",
)


def smooth_noise(rng: np.random.Generator, cells: tuple[int, ...]) -> NDArray[np.float64]:
    """Sum of enlarged random grids, about zero mean and unit variance at each scale, (512, 512)."""
    total = np.zeros((SIZE, SIZE))
    for n in cells:
        total += cv2.resize(rng.standard_normal((n, n)), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    mean: NDArray[np.float64] = total / len(cells)
    return mean


def colour(rng: np.random.Generator, wild: float) -> Colour:
    """A garment colour: mostly from a sane palette, with a share of wild ones."""
    if rng.random() < wild:
        return rng.uniform(20, 240, 3)
    tone: Colour = np.clip(SANE[rng.integers(len(SANE))] + rng.normal(0, 8, 3), 8, 250)
    return tone


def finish(rng: np.random.Generator, picture: NDArray[np.float64]) -> Texture:
    """Soft folds of tone and a trace of weave."""
    picture = picture * (1 + 0.035 * smooth_noise(rng, (5, 12))[..., None]) + rng.normal(0, 2.0, (SIZE, SIZE, 1))
    out: Texture = np.clip(picture, 0, 255).astype(np.uint8)
    return out


def pattern(rng: np.random.Generator) -> NDArray[np.float64]:
    """Plain, stripes, checks, dots, blocks or camouflage; in float, before `finish`."""
    wild = 0.25
    a, b, c = colour(rng, wild), colour(rng, wild), colour(rng, wild)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    kind, f = rng.random(), float(rng.integers(7, 22))
    picture = np.ones((SIZE, SIZE, 3)) * a
    if kind < 0.5:
        return picture
    if kind < 0.62:
        picture[np.floor(y * f) % 2 == 0] = b
    elif kind < 0.7:
        picture[np.floor(x * f) % 2 == 0] = b
    elif kind < 0.79:
        picture = np.where((np.floor(x * f) % 2 == 0)[..., None], 0.5 * picture + 0.5 * b, picture)
        picture = np.where((np.floor(y * f) % 2 == 0)[..., None], 0.5 * picture + 0.5 * c, picture)
    elif kind < 0.86:
        picture[((x * f) % 1 - 0.5) ** 2 + ((y * f) % 1 - 0.5) ** 2 < 0.08] = b
    elif kind < 0.95:
        picture[y > rng.uniform(0.3, 0.5)] = b
    else:
        spots = smooth_noise(rng, (6, 12))
        picture[spots > 0.35] = b
        picture[spots < -0.35] = c
    return picture


def print_on(rng: np.random.Generator, picture: NDArray[np.float64], span: float) -> NDArray[np.float64]:
    """A word, number or simple logo in the middle, which lies on the chest (garments.planar_uv); `span` in texture shares."""
    image = Image.fromarray(picture.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    ink = 255 - picture.mean((0, 1)) if rng.random() < 0.5 else colour(rng, 0.4)
    if abs(float(ink.mean() - picture.mean())) < 60:
        ink = np.full(3, 245.0 if picture.mean() < 128 else 25.0)
    fill = tuple(int(v) for v in ink)
    cx, cy, r = SIZE / 2, SIZE / 2, span * SIZE / 2
    if rng.random() < 0.65:
        word = WORDS[rng.integers(len(WORDS))]
        font = ImageFont.load_default(size=max(10, int(2.4 * r / max(2, len(word)) * 1.3)))
        draw.text((cx, cy), word, fill=fill, font=font, anchor="mm", stroke_width=1, stroke_fill=fill)
    else:
        shape = rng.integers(5)
        box = [cx - r * 0.6, cy - r * 0.6, cx + r * 0.6, cy + r * 0.6]
        if shape == 0:
            draw.ellipse(box, fill=fill)
        elif shape == 1:
            draw.ellipse(box, outline=fill, width=max(3, int(r * 0.22)))
        elif shape == 2:
            draw.polygon([(cx, cy - r * 0.7), (cx + r * 0.7, cy + r * 0.5), (cx - r * 0.7, cy + r * 0.5)], fill=fill)
        elif shape == 3:
            draw.regular_polygon((cx, cy, r * 0.7), 4, rotation=45, fill=fill)
        else:
            points = [
                (
                    cx + r * (0.75 if k % 2 == 0 else 0.32) * np.sin(k * np.pi / 5),
                    cy - r * (0.75 if k % 2 == 0 else 0.32) * np.cos(k * np.pi / 5),
                )
                for k in range(10)
            ]
            draw.polygon(points, fill=fill)
    return np.asarray(image, float)


def lower_texture(rng: np.random.Generator) -> Texture:
    if rng.random() < 0.7:
        picture = np.ones((SIZE, SIZE, 3)) * np.clip(DENIM[rng.integers(len(DENIM))] + rng.normal(0, 6, 3), 5, 250)
        return finish(rng, picture)
    return finish(rng, pattern(rng))


def hair_texture(rng: np.random.Generator) -> tuple[Texture, Colour]:
    tone = HAIR[rng.choice(len(HAIR), p=[0.28, 0.24, 0.18, 0.12, 0.09, 0.06, 0.03])] * rng.uniform(0.9, 1.1)
    strands = cv2.resize(rng.standard_normal((6, 96)), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    return np.clip(tone * (1 + 0.16 * strands[..., None]), 0, 255).astype(np.uint8), tone


def eye_texture(rng: np.random.Generator) -> Texture:
    """Front view of an eyeball in the middle of the texture."""
    iris = np.array([[70, 45, 25], [60, 90, 130], [80, 110, 60], [40, 28, 18]])[rng.integers(4)]
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5
    radius = np.hypot(x, y)[..., None]
    out = np.where(radius < 0.1, 12, np.where(radius < 0.24, iris, 232)) * np.ones((1, 1, 3))
    return out.astype(np.uint8)


def uv_mask(base: BaseBody, name: str) -> NDArray[np.float64]:
    with Image.open(base.root / "textures" / f"mpfb_{name}.jpg") as image:
        return np.asarray(image.convert("L").resize((SIZE, SIZE)), float) / 255


def skin_tone(rng: np.random.Generator, shape: Shape) -> Colour:
    tones = np.array([[112, 76, 54], [226, 186, 152], [236, 194, 170]], float)
    shares = np.array([shape.parameters[k] for k in ("african", "asian", "caucasian")])
    tone: Colour = np.clip(shares @ tones * rng.uniform(0.88, 1.05), 30, 245)
    return tone


def skin_texture(rng: np.random.Generator, base: BaseBody, shape: Shape, tone: Colour, brow: Colour) -> Texture:
    """Skin with lips, ears, nails and eyebrows; brows are painted where they lie on this face."""
    base_tone = tone / 255
    texture = np.ones((SIZE, SIZE, 3)) * base_tone * (1 + 0.02 * smooth_noise(rng, (16, 40))[..., None])
    lipstick = rng.uniform(0.5, 0.66) if shape.female else 0.7
    tints = {
        "lips": (base_tone * np.array([0.9, lipstick, lipstick]), 0.85),
        "ears": (base_tone * np.array([1.0, 0.82, 0.8]), 0.4),
        "fingernails": (base_tone * 1.1, 0.5),
        "inside-mouth": (np.array([0.3, 0.1, 0.1]), 1.0),
    }
    for name, (tint, strength) in tints.items():
        mask = uv_mask(base, name)[..., None] * strength
        texture = texture * (1 - mask) + np.clip(tint, 0, 1) * mask
    cheeks = np.clip(texture, 0, 1) * 255
    image = Image.fromarray(cheeks.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    body = base.group("body")
    quads, uv_quads = triangles(body.quads), triangles(body.uv_quads)
    eye = shape.heads[base.index["eye.L"]]
    middle = shape.vertices[quads].mean(1)
    across, above = np.abs(middle[:, 0]) - abs(eye[0]), middle[:, 2] - eye[2] - 0.0205
    mask = (np.abs(across) < 0.02) & (np.abs(above + 0.005 * (across / 0.02) ** 2) < 0.0032) & (middle[:, 1] < eye[1] + 0.012)
    fill = tuple(int(v) for v in 0.35 * tone + 0.65 * brow * 0.8)
    for corners in uv_quads[mask]:
        draw.polygon([(base.uv[i][0] * SIZE, (1 - base.uv[i][1]) * SIZE) for i in corners], fill=fill)
    blurred: Texture = cv2.GaussianBlur(np.asarray(image), (0, 0), 0.7).astype(np.uint8)
    return blurred
