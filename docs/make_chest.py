"""How engines/pose/chest.json is made: rendered people say where the front of their garment is, in its flat picture and on them.

    python docs/make_chest.py [--people 300] [--frames 10] [--seed 5]

Nothing is drawn but the flat garments: the renderer knows where each point of a garment is. A network with one layer of 32 learns the
affine map of the chest from keypoints; one person in six is held out, and what is printed is how far off their chests are.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engines.pose.chest import LOOKED_AT, MIRRORED, WEIGHTS, looked_at, onto_torso, torso_of
from engines.pose.garment import HIPS, SHOULDERS, body_of
from engines.pose.laid import flat_of, onto_body, silhouette
from engines.prepare.clip import Clip, ClipSpec, Posed, kept_points, moved
from engines.prepare.landmarks import keypoints_3d

Floats = NDArray[np.float64]
SIZE, FPS = (288, 384), 1.5
BESIDE, ALONG = 0.13, 0.16  # metres around the middle of the chest: the largest prints
FACING = 0.3  # of a chest's normals against the view, on average: less is seen from the side or from behind
HIDDEN, NOISE, WIDTH, STEPS, RATE = 0.1, 0.1, 32, 6000, 3e-3
HELD_OUT, CUT_OFF = 6, 4  # one person in so many, and one frame in so many without hips, as in portraits


class Front:
    """The chest of a clip's garment: its points at rest in the flat picture, and where they are in a pose."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.name = "dress" if "dress" in {part.name for part in clip.person.parts} else "upper"
        self.flat = flat_of(silhouette(clip.garment(self.name)[0]), "dress" if self.name == "dress" else "upper")
        person = clip.person
        scene, camera = clip.at_rest(self.name)
        kept = kept_points(scene)
        points = scene.points[kept]
        chest = float(person.shape.heads[person.base.index["spine01"]][2]) - 0.02
        near = (np.abs(points[:, 0]) < BESIDE) & (np.abs(points[:, 2] - chest) < ALONG) & (points[:, 1] < np.median(points[:, 1]))
        self.chosen = kept[near]
        self.rest = camera.project(scene.points)[self.chosen, :2].astype(float)

    def seen(self, posed: Posed, matrix: Floats) -> tuple[Floats, float]:
        """Pixels (n, 2) of the points in this pose, and how far they face the camera."""
        scene = self.clip.person.scene(posed.points, posed.transforms, only=self.name)
        view = scene.points[self.chosen] - self.clip.camera.eye
        view = view / np.linalg.norm(view, axis=1, keepdims=True)
        facing = -float((scene.normals[self.chosen] * view).sum(axis=1).mean())
        return moved(self.clip.camera.project(scene.points), matrix)[self.chosen, :2].astype(float), facing


def samples(number: int, frames: int, seed: int) -> Iterator[dict[str, Any]]:
    """What one person's frames teach: keypoints, the flat garment's measures, the chest in it and on them."""
    clip = Clip(ClipSpec(number, "train", SIZE, frames, FPS, seed))
    front = Front(clip)
    if front.flat is None or len(front.chosen) < 20:
        return
    base, shape = clip.person.base, clip.person.shape
    for index, (posed, matrix) in enumerate(zip(clip.posed, clip.drift, strict=True)):
        pixels, facing = front.seen(posed, matrix)
        places = keypoints_3d(base, posed.points, posed.places, posed.transforms, shape.tails)
        points = moved(clip.camera.project(places), matrix)
        points[:, 2] = 1
        points[list(HIPS), 2] = index % CUT_OFF > 0
        body = body_of(points)
        if facing >= FACING and body is not None:
            of_front = {"flat": front.flat, "rest": front.rest, "name": front.name}
            yield of_front | {"person": number, "points": points, "body": body, "seen": pixels}


def affine(sample: dict[str, Any]) -> Floats:
    """The map that chest_map is to give, by least squares."""
    flat = sample["flat"]
    own = (sample["rest"] - [flat.middle, flat.top]) / flat.trunk
    return np.linalg.lstsq(np.column_stack([own, np.ones(len(own))]), torso_of(sample["body"]).own(sample["seen"]), rcond=None)[0]


def apart(sample: dict[str, Any], move: Floats) -> float:
    """Root mean square distance of the chest's points from where they are, in the torso's unit."""
    off = sample["rest"] @ move[:, :2].T + move[:, 2] - sample["seen"]
    return float(np.sqrt((off**2).sum(axis=1).mean())) / torso_of(sample["body"]).unit


class Network(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.inner, self.outer, self.straight = nn.Linear(inputs, WIDTH), nn.Linear(WIDTH, 6, bias=False), nn.Linear(inputs, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outer(nn.functional.silu(self.inner(x))) + self.straight(x)


def mirrored(places: torch.Tensor, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Places (n, 11, 2) and maps (n, 3, 2) of the same people in a mirror."""
    flip = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [-1.0, 1.0]])
    return places[:, list(MIRRORED)] * torch.tensor([-1.0, 1.0]), maps * flip


def learn(places: Floats, maps: Floats) -> dict[str, Any]:
    """The contents of chest.json: places (n, 11, 2) and maps (n, 3, 2) of people, with hidden points and noise of detectors."""
    torch.manual_seed(0)
    x, y = (torch.tensor(part, dtype=torch.float32) for part in (places, maps))
    x, y = (torch.cat(pair) for pair in zip((x, y), mirrored(x, y), strict=True))
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    spread = y.flatten(1).std(0)
    network = Network(len(LOOKED_AT) * 3)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.3)
    trusted = torch.tensor([number not in SHOULDERS for number in LOOKED_AT])
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        rows = torch.randint(0, len(x), (256,))
        known = ~((torch.rand(256, len(LOOKED_AT)) < HIDDEN) & trusted)
        known[:, :5] &= torch.rand(256, 1) > HIDDEN  # a whole face that is not seen
        z = ((x[rows] - mean) / deviation + NOISE * torch.randn(256, len(LOOKED_AT), 2)) * known[..., None]
        off = (network(torch.cat([z.flatten(1), known.float()], dim=1)) - y[rows].flatten(1)) / spread.mean()
        loss = nn.functional.smooth_l1_loss(off, torch.zeros_like(off), beta=0.3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    w = {name: value.detach() for name, value in network.named_parameters()}
    parts = {"mean": mean, "deviation": deviation, "inner": w["inner.weight"], "inner_bias": w["inner.bias"], "outer": w["outer.weight"],
             "straight": w["straight.weight"], "bias": w["straight.bias"]}  # fmt: skip
    return {name: np.round(value.double().numpy(), 5).tolist() for name, value in parts.items()}


def told(found: list[dict[str, Any]]) -> str:
    """How far off the held-out chests are, as joints alone lay them and as the network does."""
    ways = {"joints alone": lambda s: onto_body(s["flat"], s["body"], s["name"]), "chest.json": learnt}
    lines = []
    for name, way in ways.items():
        off = [apart(sample, way(sample)) for sample in found]
        lines.append(f"{name}: median {np.median(off):.3f}, 90 % below {np.quantile(off, 0.9):.3f} of torso and shoulders")
    return "\n".join(lines)


def learnt(sample: dict[str, Any]) -> Floats:
    flat = sample["flat"]
    found = onto_torso(flat.middle, flat.top, flat.trunk, sample["points"], sample["body"])
    return onto_body(flat, sample["body"], sample["name"]) if found is None else found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--seed", type=int, default=5, help="of the people: another one than a data set's")
    asked = parser.parse_args()
    found = [sample for number in range(asked.people) for sample in samples(number, asked.frames, asked.seed)]
    train = [sample for sample in found if sample["person"] % HELD_OUT]
    places = np.stack([looked_at(sample["points"], sample["body"])[0] for sample in train])
    facts = {"made_by": "docs/make_chest.py", "people": asked.people, "seed": asked.seed}
    made = facts | learn(places, np.stack([affine(sample) for sample in train]))
    WEIGHTS.write_text(json.dumps(made) + "\n")
    print(f"{len(train)} frames; held out: {len(found) - len(train)}")
    print(told([sample for sample in found if not sample["person"] % HELD_OUT]))


if __name__ == "__main__":
    main()
