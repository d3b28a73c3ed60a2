"""The paper's Table 2 at mini scale: trains what is missing, row by row, and judges it on people and motion that training never saw.

    python docs/make_ablation.py --data DATA --work WORK [--rows scd,reference-net] [--seeds 2] [--minutes 120] [--out docs/ablation]

Runs go on where they stopped: `--minutes` bounds one call. A finished run leaves OUT/ROW-SEED.json and a strip of pictures, the base model
its weights as int8 (OUT/base), so that another machine goes on from OUT alone. Last, docs/make_ablation_table.py makes table and sheet
of what is in OUT.
"""

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.core.recipe import parse, read_toml
from engines.core.sampler import frame_noise
from engines.export.weights import Rounded, rounded, write_weights
from engines.export.writing import INT8_FROM
from engines.model.checkpoint import FACTS, WEIGHTS, latest, need
from engines.model.loading import SavedModel, load_autoencoder, load_model
from engines.train.autoencoder import to_frames, to_tensor
from engines.train.frames import TrainingClip, load_clips
from engines.train.recipe import ScdRecipe
from engines.train.sheets import contact_sheet, save_sheet
from engines.train.start import folder_of
from engines.train.validation import Wanted, drawn, sampled
from scd_cli.recipes import find_recipe

Pictures = NDArray[np.uint8]
HERE = Path(__file__).parent
MAIN = ("scd", "reference-net", "scd-dagger", "scd-no-pose")  # in order of importance; these get further seeds
OTHERS = ("channels", "clip", "scd-dagger-no-pose", "reference-net-random")
METRICS = "psnr,ssim_gray_uniform7,ssim_rgb_gaussian,mae,psnr_masked,ssim_masked"
SHOWN = 10  # people of a strip


def plan(rows: Sequence[str], seeds: int) -> list[tuple[str, int]]:
    """Rows and seeds in order of importance: each chosen row once, then the main ones again."""
    first = [(row, 0) for row in (*MAIN, *OTHERS) if row in rows]
    return first + [(row, seed) for seed in range(1, seeds) for row in MAIN if row in rows]


class Runs:
    """Training through the command line, in `work`, until the time is up."""

    def __init__(self, data: Path, work: Path, minutes: float | None, overrides: Sequence[str]) -> None:
        self.data, self.work, self.overrides = data, work, list(overrides)
        self.until = None if minutes is None else time.monotonic() + 60 * minutes

    def finished(self, recipe: str, name: str, overrides: Sequence[str]) -> Path | None:
        """The run folder once all its steps are done; None when the time is up first."""
        run, settings = self.work / "runs" / name, [*self.overrides, *overrides]
        steps = parse(ScdRecipe, read_toml(find_recipe(recipe), settings), recipe).optim.steps
        found = latest(run)
        if found is not None and found.step >= steps:
            return run
        left = None if self.until is None else self.until - time.monotonic()
        if left is not None and left <= 0:
            return None
        command = [sys.executable, "-m", "scd_cli", "train", "--recipe", recipe, "--data", str(self.data), "--out", str(run), "--resume"]
        process = subprocess.Popen([*command, *(part for text in settings for part in ("--set", text))])
        try:
            if process.wait(left):
                raise SystemExit(f"the training of {name} failed")
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # it writes a checkpoint
            process.wait()
            return None
        return run


def keep_base(run: Path, out: Path) -> Path:
    """The base's network as int8 with scales: what all rows start from, here and on other machines."""
    found = need(run, "scd", "--work")
    tensors: dict[str, NDArray[np.float16] | Rounded] = {}
    for name, tensor in found.weights().items():
        if name.startswith("scd."):
            large = tensor.dim() > 1 and tensor.numel() >= INT8_FROM
            tensors[name] = rounded(tensor.numpy()) if large else tensor.half().numpy()
    out.mkdir(parents=True, exist_ok=True)
    write_weights(out / WEIGHTS, tensors)
    facts = found.facts | {"recipe": found.facts["recipe"] | {"data": Path(found.facts["recipe"]["data"]).name}}
    (out / FACTS).write_text(json.dumps(facts | {"holds": "the network alone, as a start: --set initial=FOLDER"}, indent=1) + "\n")
    return out


class HeldOut:
    """Clips of the split `test`: each one's frame 0 is the reference, `each` later frames are to be made. The same noise for every row."""

    def __init__(self, data: Path, size: tuple[int, int], clips: int, each: int) -> None:
        self.clips, self.size = load_clips(data, "test", size)[:clips], size
        self.numbers = [np.unique(np.linspace(1, c.clip.frames - 1, each).round().astype(int)).tolist() for c in self.clips]

    def wanted(self, index: int) -> Wanted:
        clip = self.clips[index]
        return Wanted(clip.frames[:1], drawn(clip, [0], self.size), drawn(clip, self.numbers[index], self.size))

    def truth(self, index: int) -> Pictures:
        return np.ascontiguousarray(self.clips[index].frames[self.numbers[index]])

    def masks(self, index: int) -> Pictures:
        """White where the reference or the frame shows the person."""
        labels = self.clips[index].labels
        return np.stack([((labels[0] > 0) | (labels[n] > 0)).astype(np.uint8) * 255 for n in self.numbers[index]])

    def shown(self) -> list[int]:
        """Clips of a strip, evenly spaced."""
        return [int(i) for i in np.unique(np.linspace(0, len(self.clips) - 1, SHOWN).round())]

    def strip(self, made: Sequence[Pictures]) -> Pictures:
        """The last frame of each clip shown."""
        return contact_sheet([np.stack([made[i][-1] for i in self.shown()])])


def save(folder: Path, clips: Sequence[TrainingClip], made: Sequence[Pictures]) -> Path:
    """folder/CLIP/NNNNNN.png."""
    for clip, pictures in zip(clips, made, strict=True):
        place = folder / clip.clip.clip_id
        place.mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures):
            cv2.imwrite(str(place / f"{number:06d}.png"), picture[..., ::-1] if picture.ndim == 3 else picture)
    return folder


class Judge:
    """Sampling and `scd evaluate`; what a figure rests on goes into its JSON."""

    def __init__(self, held: HeldOut, work: Path, out: Path) -> None:
        self.held, self.work, self.out = held, work, out
        every = range(len(held.clips))
        save(work / "truth", held.clips, [held.truth(i) for i in every])
        save(work / "masks", held.clips, [held.masks(i) for i in every])
        wanted = [held.wanted(i) for i in held.shown()]
        rows = [np.concatenate([getattr(w, k)[-1:] for w in wanted]) for k in ("references", "ref_poses", "poses")]
        save_sheet(out / "shown.png", contact_sheet([*rows, np.stack([held.truth(i)[-1] for i in held.shown()])]))

    def judge(self, name: str, made: Sequence[Pictures], facts: dict[str, Any]) -> None:
        """Writes OUT/NAME.json and OUT/NAME.png."""
        (self.work / "reports").mkdir(exist_ok=True)
        pred, report = save(self.work / "pred" / name, self.held.clips, made), self.work / "reports" / name
        command = [sys.executable, "-m", "scd_cli", "evaluate", "--pred", pred, "--gt", self.work / "truth", "--masks", self.work / "masks"]
        command += ["--protocol", "native", "--metrics", METRICS, "--media", "0", "--overwrite", "--out", report]
        subprocess.run([str(part) for part in command], check=True)
        found = json.loads((report / "metrics.json").read_text())
        result = facts | {
            "protocol": found["protocol"]["text"], "made": self.without_work(found["made"]), "truth": found["inputs"]["gt_sha256"],
            "videos": found["inputs"]["videos"], "frames": found["inputs"]["frames"],
            "metrics": {m["name"]: {"value": m["value"], "ci": m["ci"]} for m in found["metrics"]},
            "per_video": {video: entry["metrics"] for video, entry in found["per_video"].items()},
        }  # fmt: skip
        save_sheet(self.out / f"{name}.png", self.held.strip(made))
        (self.out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")

    def without_work(self, made: dict[str, Any]) -> dict[str, Any]:
        """Where the work folder lay concerns one machine."""
        return json.loads(json.dumps(made).replace(str(self.work), "work"))

    def yardsticks(self, autoencoder: Path) -> None:
        """What copying the reference scores, and the truth through the autoencoder: floor and ceiling of the table."""
        held, codec = self.held, load_autoencoder(autoencoder)
        every = range(len(held.clips))
        self.judge("copied", [np.repeat(held.clips[i].frames[:1], len(held.numbers[i]), axis=0) for i in every], {"row": "copied"})
        through = [to_frames(codec.decode(codec.encode(to_tensor(held.truth(i))))) for i in every]
        self.judge("autoencoder", through, {"row": "autoencoder"})

    def row(self, name: str, row: str, seed: int, run: Path, base: str) -> None:
        saved, log = load_model(run), [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        recipe = parse(ScdRecipe, saved.facts["recipe"], str(run))
        began = time.monotonic()
        made = [self.sampled(saved, recipe, i) for i in range(len(self.held.clips))]
        losses, seconds = ([line[key] for line in log if key in line] for key in ("loss", "seconds_per_step"))
        facts = {
            "row": row, "seed": seed, "base": base, "data": saved.facts["data"], "steps": saved.facts["step"],
            "pictures": saved.facts["step"] * recipe.batching.references * recipe.batching.targets,
            "parameters": sum(p.numel() for p in saved.model.parameters()), "seconds_per_step": float(np.median(seconds)),
            "last_loss": float(np.mean(losses[-5:])), "sampling_seconds": round(time.monotonic() - began, 1),
        }  # fmt: skip
        self.judge(name, made, facts)

    def sampled(self, saved: SavedModel, recipe: ScdRecipe, index: int) -> Pictures:
        columns, rows = recipe.model.latent_size
        shape = (recipe.model.unet.latent_channels, rows, columns)
        noise = frame_noise(shape, len(self.held.numbers[index]), index, recipe.sampling.shared_noise)
        return sampled(saved.model, recipe, saved.autoencoder, self.held.wanted(index), noise)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for runs, pictures and reports")
    parser.add_argument("--out", type=Path, default=HERE / "ablation", help="what is kept of each run")
    parser.add_argument("--rows", default=",".join((*MAIN, *OTHERS)))
    parser.add_argument("--seeds", type=int, default=2, help="of the main rows: " + ", ".join(MAIN))
    parser.add_argument("--minutes", type=float, help="stop after so many; the next call goes on")
    parser.add_argument("--clips", type=int, default=64, help="held-out clips to judge, at most")
    parser.add_argument("--frames", type=int, default=8, help="frames to make of each")
    parser.add_argument("--set", action="append", default=[], dest="overrides", help="a value of all recipes, to try things out")
    return parser.parse_args()


def started(runs: Runs, out: Path) -> Path | None:
    """The folder of the kept base, trained where it is not there; None when the time is up first."""
    if (out / "base" / FACTS).is_file():
        return out / "base"
    run = runs.finished("mini/ablation/base", "base", [])
    return None if run is None else keep_base(run, out / "base")


def main() -> None:
    chosen = options()
    out, runs = chosen.out, Runs(chosen.data, chosen.work, chosen.minutes, chosen.overrides)
    out.mkdir(parents=True, exist_ok=True)
    base = started(runs, out)
    if base is None:
        return
    recipe = parse(ScdRecipe, read_toml(find_recipe("mini/ablation/scd"), chosen.overrides), "mini/ablation/scd")
    judge = Judge(HeldOut(chosen.data, recipe.model.size, chosen.clips, chosen.frames), chosen.work, out)
    if not (out / "autoencoder.json").is_file():
        judge.yardsticks(folder_of(recipe, recipe.autoencoder))
    digest = hashlib.sha256((base / WEIGHTS).read_bytes()).hexdigest()
    for row, seed in plan(chosen.rows.split(","), chosen.seeds):
        name = f"{row}-{seed}"
        if (out / f"{name}.json").is_file():
            continue
        run = runs.finished(f"mini/ablation/{row}", name, [f"seed={seed}", f"initial={base.resolve()}"])
        if run is None:
            break
        judge.row(name, row, seed, run, digest)
    subprocess.run([sys.executable, str(HERE / "make_ablation_table.py"), "--results", str(out)], check=True)


if __name__ == "__main__":
    main()
