"""Miniature try-on data sets of every layout, with pictures of 32x48 pixels whose colour tells what they are."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

IDS = ("00006_00", "00008_00", "00013_00", "00017_00")
SIZE = (32, 48)


def picture(path: Path, number: int = 0) -> Path:
    """A frame in a colour of its own with a box in another; PNG or JPEG by the ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", SIZE, (40 + 50 * (number % 4), 90, 200 - 40 * (number % 5)))
    ImageDraw.Draw(image).rectangle((8, 14, 23, 35), fill=(220, 30 + 50 * (number % 4), 60))
    image.save(path)
    return path


def mask(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    pixels[14:36, 8:24] = 255
    Image.fromarray(pixels).save(path)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8"))
    return path


def shifted(ids: Iterable[str]) -> list[tuple[str, str]]:
    """Everybody with the next one's garment."""
    names = list(ids)
    return list(zip(names, names[1:] + names[:1], strict=True))


def viton(root: Path, ending: str = "jpg", ids: Iterable[str] = IDS, parts: Iterable[str] = ("train", "test")) -> Path:
    """As released: pictures, masks, and lists whose second column is another's garment."""
    for part in parts:
        for number, id in enumerate(ids):
            picture(root / part / "image" / f"{id}.{ending}", number)
            picture(root / part / "cloth" / f"{id}.{ending}", number + 1)
            mask(root / part / "agnostic-mask" / f"{id}_mask.png")
        lines = "".join(f"{a}.jpg {b}.jpg\n" for a, b in shifted(ids))
        text(root / f"{part}_pairs.txt", lines)
    return root


def ours(root: Path) -> Path:
    """As `scd prepare-data synthetic --layout viton-hd` writes it: PNG, categories in pairs.jsonl. The last has nobody to borrow from."""
    viton(root, "png")
    kinds = ("upper", "lower", "dress", "upper")
    for part in ("train", "test"):
        records = [
            {"id": id, "part": part, "category": kind, "unpaired": None if id == IDS[-1] else other}
            for (id, other), kind in zip(shifted(IDS), kinds, strict=True)
        ]
        with (root / "pairs.jsonl").open("a") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
        text(root / f"{part}_pairs.txt", "".join(f"{r['id']}.png {r['unpaired']}.png\n" for r in records if r["unpaired"]))
    for number, id in enumerate(IDS[:-1]):
        picture(root / "test" / "unpaired" / f"{id}.png", number)
    return root


DRESS_CODE = {"upper_body": ("000001", "000002"), "lower_body": ("013563", "013564"), "dresses": ("020714", "020715")}


def dress_code(root: Path, lists: str = "root") -> Path:
    """`lists` at the root, with categories as numbers, or in the categories' folders, with two columns, or none."""
    whole: dict[str, str] = {}
    for number, (folder, ids) in enumerate(DRESS_CODE.items()):
        for place, id in enumerate(ids):
            picture(root / folder / "images" / f"{id}_0.jpg", place)
            picture(root / folder / "images" / f"{id}_1.jpg", place + 1)
            picture(root / folder / "label_maps" / f"{id}_4.png")
            text(root / folder / "keypoints" / f"{id}_2.json", "{}")
        for kind, pairs in (("paired", zip(ids, ids, strict=True)), ("unpaired", shifted(ids))):
            lines = [f"{a}_0.jpg\t{b}_1.jpg" for a, b in pairs]
            name = f"test_pairs_{kind}.txt"
            whole[name] = whole.get(name, "") + "".join(f"{line}\t{number}\n" for line in lines)
            if lists == "categories":
                text(root / folder / name, "\n".join(lines))
    for name, content in whole.items() if lists == "root" else ():
        text(root / name, content)
    return root


def fast_fit(root: Path) -> Path:
    kinds = ("upper", "lower", "dresses")
    ids = [ids[0] for ids in DRESS_CODE.values()]
    for number, id in enumerate(ids):
        picture(root / "person" / f"{id}_0.jpg", number)
        picture(root / "cloth" / f"{id}_1.jpg", number + 1)
        mask(root / "mask" / f"{id}_0.png")
    text(root / "test_pairs_unpaired.txt", "".join(f"{a}_0.jpg {b}_1.jpg {k}\n" for (a, b), k in zip(shifted(ids), kinds, strict=True)))
    return root
