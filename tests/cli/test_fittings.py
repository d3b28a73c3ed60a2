"""Lists of try-ons from the command line: what requests they become, which masks they use, and what --dry-run says of them."""

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engines.core.bundle import DEFAULT_TRYON_MODEL
from engines.core.errors import ScdError, UsageError
from engines.core.report import NullReport, Report
from engines.evaluate.evaluate import evaluate
from engines.evaluate.request import EvaluateRequest
from engines.generate.batch import BatchOptions, Job, run_batch, together
from engines.generate.studio import KV_KEPT, Shelf, Studio
from engines.generate.tryon_request import MaskWish, TryonRequest
from scd_cli.commands.tryon import tryon
from scd_cli.fittings import Fittings, garment_of, listed, paired
from scd_cli.jobs import command_of, parsed
from tests.core import pair_trees as trees
from tests.e2e.running import scd


def asked(*words: object) -> dict[str, Any]:
    """The options of a command line."""
    return parsed(command_of(tryon), [str(word) for word in words])


def unused(request: Any, report: Report, studio: Studio, wait: bool) -> Any:
    raise AssertionError("nothing is made here")


def requests(found: Fittings) -> list[TryonRequest]:
    assert not found.problems
    return [job.request for job in found.jobs if isinstance(job.request, TryonRequest)]


def of_root(*words: object) -> list[TryonRequest]:
    return requests(paired(asked(*words), unused))


def of_list(path: object, *words: object) -> list[Job]:
    return listed(asked("--jobs", path, *words), tryon, unused).jobs


def test_pairs_of_a_data_set_become_requests(tmp_path: Path) -> None:
    root, out = trees.viton(tmp_path / "set"), tmp_path / "results"
    found = of_root("--root", root, "--unpaired", "-o", out, "--steps", 4, "--sampler", "euler", "--seed", 0)
    test = root / "test"
    assert found[0] == TryonRequest(
        person=test / "image" / "00006_00.jpg", garment=test / "cloth" / "00008_00.jpg", output=out / "00006_00.png",
        model=DEFAULT_TRYON_MODEL, mask=MaskWish(file=test / "agnostic-mask" / "00006_00_mask.png"),
        mask_out=tmp_path / "results-masks" / "00006_00.png", steps=4, sampler="euler", seed=0,
    )  # fmt: skip
    assert [request.output.name for request in found] == [f"{id}.png" for id in trees.IDS]
    own = of_root("--root", root, "--paired", "-o", out, "--mask-out", tmp_path / "m", "--part", "train")
    assert [request.garment for request in own] == [root / "train" / "cloth" / f"{id}.jpg" for id in trees.IDS]
    assert own[0].mask_path == tmp_path / "m" / "00006_00.png"


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    root = trees.viton(tmp_path / "set")
    path = trees.text(tmp_path / "mine.txt", "00008_00 00006_00 lower\n")
    (request,) = of_root("--pairs", path, "--root", root, "-o", tmp_path / "out")
    assert (request.person.stem, request.garment.stem, request.mask.category) == ("00008_00", "00006_00", "lower")


def test_categories_are_the_lists_unless_one_is_asked_for(tmp_path: Path) -> None:
    ours, code = trees.ours(tmp_path / "ours"), trees.dress_code(tmp_path / "code")
    kinds = [request.mask.category for request in of_root("--root", ours, "--paired", "-o", tmp_path / "out")]
    assert kinds == ["upper", "lower", "dress", "upper"]
    found = of_root("--root", code, "-o", tmp_path / "out")
    assert [request.mask.category for request in found] == ["upper", "upper", "lower", "lower", "dress", "dress"]
    assert {request.mask.category for request in of_root("--root", code, "-o", tmp_path / "out", "--category", "dress")} == {"dress"}
    assert of_root("--root", trees.viton(tmp_path / "set"), "-o", tmp_path / "out")[0].mask.category == MaskWish().category


def wishes(tmp_path: Path, *words: object) -> MaskWish:
    return of_root("--root", tmp_path / "set", "-o", tmp_path / "out", *words)[0].mask


def test_masks_of_a_data_set_in_the_order_of_trust(tmp_path: Path) -> None:
    test = trees.viton(tmp_path / "set") / "test"
    parse, points = test / "image-parse-v3" / "00006_00.png", test / "openpose_json" / "00006_00_keypoints.json"
    mask = test / "agnostic-mask" / "00006_00_mask.png"
    assert wishes(tmp_path, "--mask-style", "box") == MaskWish(style="box"), "detected, since a style was asked for"
    trees.text(points, "{}")
    assert wishes(tmp_path, "--mask-style", "box") == MaskWish(style="box", keypoints=points)
    trees.picture(parse)
    assert wishes(tmp_path, "--mask-style", "shape") == MaskWish(style="shape", parse=parse, parse_labels="lip", keypoints=points)
    assert wishes(tmp_path, "--parse-labels", "atr", "--mask-style", "shape").parse_labels == "atr"
    assert wishes(tmp_path, "--mask-grow", 3) == MaskWish(file=mask, grow=3, keypoints=points)
    mask.unlink()
    assert wishes(tmp_path) == MaskWish(parse=parse, parse_labels="lip", keypoints=points)


def test_keypoints_that_are_not_openposes_serve_alone(tmp_path: Path) -> None:
    root = trees.dress_code(tmp_path / "set")
    assert [request.mask.keypoints for request in of_root("--root", root, "-o", tmp_path / "out")] == [None] * 6, "it has parse maps"
    (root / "dresses" / "label_maps" / "020714_4.png").unlink()
    found = of_root("--root", root, "-o", tmp_path / "out")
    assert found[4].mask == MaskWish(category="dress", keypoints=root / "dresses" / "keypoints" / "020714_2.json")


def test_masks_of_folders_of_ones_own(tmp_path: Path) -> None:
    trees.viton(tmp_path / "set")
    for folder, ending in (("masks", "_mask.jpg"), ("maps", ".png"), ("points", "_keypoints.json")):
        for id in trees.IDS:
            trees.text(tmp_path / folder / f"{id}{ending}", "")
    masks, maps, points = (tmp_path / folder for folder in ("masks", "maps", "points"))
    assert wishes(tmp_path, "--mask", masks, "--invert-mask") == MaskWish(file=masks / "00006_00_mask.jpg", invert=True)
    both = wishes(tmp_path, "--parse", maps, "--keypoints", points, "--parse-labels", "lip")
    assert both == MaskWish(parse=maps / "00006_00.png", keypoints=points / "00006_00_keypoints.json", parse_labels="lip")
    (masks / "00008_00_mask.jpg").unlink()
    found = paired(asked("--root", tmp_path / "set", "-o", tmp_path / "out", "--mask", masks), unused)
    assert [str(problem) for problem in found.problems] == [f"--mask {masks} has no file for 00008_00.jpg; add 00008_00.png"]
    with pytest.raises(UsageError, match="is no folder, but there are many pairs"):
        wishes(tmp_path, "--mask", masks / "00006_00_mask.jpg")


def test_a_job_list_with_flags_of_every_kind(tmp_path: Path) -> None:
    text = (
        "Person, garment, out, steps, mask, invert-mask, category, mask-out, samples\n"
        "-a.png, b.png, o.png, 4, m.png, yes, lower, used.png, 2\n"
        "c d.png,e.png,,,,,,,\n"
    )
    first, second = of_list(trees.text(tmp_path / "jobs.csv", text), "-o", tmp_path / "out", "--steps", 9, "--category", "dress")
    assert first.request == TryonRequest(
        person=Path("-a.png"), garment=Path("b.png"), output=Path("o.png"), model=DEFAULT_TRYON_MODEL, steps=4, samples=2,
        mask=MaskWish(file=Path("m.png"), invert=True, category="lower"), mask_out=Path("used.png"),
    )  # fmt: skip
    assert isinstance(second.request, TryonRequest)
    assert (second.request.steps, second.request.mask.category) == (9, "dress"), "the command line's own options are for the rest"
    assert second.request.output == tmp_path / "out" / "c d-e.png"


def test_json_lines_and_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = '{"person": "a.png", "garment": "b.png", "seed": 0, "keypoints": null, "overwrite": true}\n'
    (job,) = of_list(trees.text(tmp_path / "jobs.jsonl", lines), "--seed", 5)
    assert isinstance(job.request, TryonRequest)
    assert (job.request.seed, job.request.overwrite, job.request.output) == (0, True, Path("a-b.png"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("person,garment\na.png,b.png\n"))
    assert of_list("-")[0].request == TryonRequest(
        person=Path("a.png"), garment=Path("b.png"), output=Path("a-b.png"), model=DEFAULT_TRYON_MODEL
    )


BAD = [
    ("person,garment\na.png,\n", "a job needs person and garment"),
    ("person,garment,stepps\na.png,b.png,4\n", "there is no column stepps; did you mean steps"),
    ("person,garment,steps\na.png,b.png,four\n", "Invalid value for '--steps'"),
    ("person,garment,category\na.png,b.png,hat\n", "'hat' is not one of"),
    ("person,garment,mask,parse\na.png,b.png,m.png,p.png\n", "--mask and --parse both say where to repaint"),
    ("person,garment,root\na.png,b.png,set\n", "there is no column root"),
    ("person,garment,then_animate\na.png,b.png,d.mp4\n", "there is no column then_animate"),
    ('{"person": "a.png", "garment": 1\n', "the line is not JSON"),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=[said for _, said in BAD])
def test_a_bad_line_is_a_failed_job_and_not_the_end(tmp_path: Path, text: str, said: str) -> None:
    job = of_list(trees.text(tmp_path / f"jobs.{'jsonl' if text.startswith('{') else 'csv'}", text))[-1]
    assert job.request is None
    assert said in job.error
    assert "\n" not in job.error


def test_a_list_without_persons(tmp_path: Path) -> None:
    with pytest.raises(ScdError, match=r"has no column person; its first line must name the columns: person,garment,out"):
        of_list(trees.text(tmp_path / "jobs.csv", "ref,poses\na,b\n"))


WRONG = [
    (["--root", "x", "a.png"], "--root brings its own pictures; leave PERSON and GARMENT out"),
    (["--jobs", "x.csv", "a.png", "b.png"], "--jobs brings its own pictures"),
    (["--jobs", "x.csv", "--root", "x"], "--jobs and --root both name a list"),
    (["--jobs", "x.csv", "--paired"], "are for --pairs and --root"),
    (["--jobs", "x.csv", "--mask-out", "m.png"], "make it a column of the job list"),
    (["--pairs", "x.txt", "-o", "out"], "add --root DIR"),
    (["--root", "x"], "need a folder for their results; name one with -o"),
    (["--root", "x", "-o", "out.png"], "is no folder; name a folder with -o"),
    (["--root", "x", "-o", "out", "--mask-only"], "--mask-only is for one pair"),
    (["--jobs", "x.csv", "--then-animate", "d.mp4"], "--then-animate is for one pair"),
    (["a.png", "b.png", "--ray", "local"], "--ray is for batches; give --root"),
    (["--root", "x", "-o", "out", "--mask", "m", "--parse", "p"], "--mask and --parse both say where to repaint"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_does_not_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Sequence[str], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    trees.viton(tmp_path / "x")
    for folder in ("m", "p"):
        for id in trees.IDS:
            trees.text(tmp_path / folder / f"{id}.png", "")
    before = sorted(tmp_path.iterdir())
    ran = scd("tryon", *words)
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
    assert said in ran.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_bad_pair_is_said_before_anything_is_made(tmp_path: Path) -> None:
    root = trees.viton(tmp_path / "set")
    (root / "test" / "cloth" / "00008_00.jpg").unlink()
    ran = scd("tryon", "--root", root, "-o", tmp_path / "out")
    assert ran.code == 1
    assert "test_pairs.txt line 1: no picture of the garment 00008_00.jpg in" in ran.err
    assert not (tmp_path / "out").exists()


def test_dry_run_tells_what_a_set_holds_and_lacks(tmp_path: Path) -> None:
    root = trees.ours(tmp_path / "set")
    (root / "test" / "cloth" / "00013_00.png").unlink()
    (root / "test" / "agnostic-mask" / "00006_00_mask.png").unlink()
    trees.picture(tmp_path / "out" / "00006_00.png")
    ran = scd("tryon", "--root", root, "-o", tmp_path / "out", "--dry-run")
    assert ran.code == 3
    lines = ran.out.splitlines()
    assert lines[:4] == ["pairs: 2", "garments: 2", "categories: 1 upper, 1 dress", "masks: 1 detected poses, 1 mask files"]
    assert lines[4:6] == ["there already: 1", "missing: 1"]
    assert "line 2: no picture of the garment 00013_00.png" in lines[6]
    assert "does not say whether it is paired" in ran.err
    whole = scd("tryon", "--root", root, "--part", "train", "--paired", "--dry-run", "--json")
    assert (whole.code, json.loads(whole.out)["pairs"], json.loads(whole.out)["missing"]) == (0, 4, [])
    assert not (tmp_path / "out-masks").exists()


def test_dry_run_of_a_job_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trees.picture(Path("a.png"))
    trees.picture(Path("b.png"))
    trees.text(
        Path("jobs.csv"), "person,garment,mask,keypoints\na.png,b.png,,\na.png,gone.png,gone-too.png,\na.png,b.png,,a.png\na.png,,,\n"
    )
    ran = scd("tryon", "--jobs", "jobs.csv", "--dry-run", "--json")
    assert ran.code == 3
    said = json.loads(ran.out)
    assert (said["pairs"], said["masks"]) == (3, {"detected poses": 1, "mask files": 1, "keypoints": 1})
    assert said["missing"] == [
        "job 4: a job needs person and garment; fill both columns", "a-gone.png: gone.png does not exist",
        "a-gone.png: gone-too.png does not exist",
    ]  # fmt: skip


def test_pairs_with_one_garment_lie_together_so_that_the_shelf_serves(tmp_path: Path) -> None:
    """Six garments that take turns over 36 people: the shelf of four holds each until its last wearer."""
    garments = [trees.picture(tmp_path / "g" / f"{n}.png", n) for n in range(6)]
    rows = "".join(f"p{n}.png,{garments[n % 6]}\n" for n in range(36))
    jobs = of_list(trees.text(tmp_path / "jobs.csv", "person,garment\n" + rows), "-o", tmp_path)

    def read(order: Sequence[Job]) -> int:
        shelf, made = Shelf(KV_KEPT), []
        for job in order:
            assert isinstance(job.request, TryonRequest)
            shelf.get(job.request.garment, lambda job=job: made.append(job))  # type: ignore[misc]
        return len(made)

    assert (read(jobs), read(together(jobs, garment_of))) == (36, 6)
    assert [job.number for job in together(jobs, garment_of)][:7] == [1, 7, 13, 19, 25, 31, 2]


class Copied:
    """The summary of a stand-in for try-on, which writes the person as the result: for tests of names, not of pictures."""

    def __init__(self, request: TryonRequest) -> None:
        Image.open(request.person).save(request.output)
        trees.mask(request.mask_path)

    def to_json(self) -> dict[str, Any]:
        return {}


def copied(request: TryonRequest, report: Report, studio: Studio, wait: bool) -> Any:
    return Copied(request)


@pytest.mark.parametrize("layout", ["viton", "ours", "dress_code"])
def test_evaluate_pairs_the_results_with_the_data_set(tmp_path: Path, layout: str) -> None:
    root, out = getattr(trees, layout)(tmp_path / "set"), tmp_path / "results"
    found = paired(asked("--root", root, "--paired", "-o", out), copied)
    for folder in found.folders:
        folder.mkdir(parents=True, exist_ok=True)
    assert run_batch(found.jobs, NullReport(), BatchOptions())["made"] == len(found.jobs)
    truth = EvaluateRequest(
        pred=out, gt=root, out=tmp_path / "report", protocol="vitonhd-catvton", metrics=("psnr", "psnr_masked"), masks=Path(f"{out}-masks")
    )
    evaluate(truth, NullReport())
    figures = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert figures["inputs"]["videos"] == len(found.jobs)
    assert figures["metrics"][0]["value"] > 30, "the person against the same person"
