"""Write README's tree, one line a file, from the files' own first sentences: `python docs/make_tree.py`; --check fails when it is stale."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"(?<=```tree\n).*?(?=```)", re.S)
SPOKEN = {  # what cannot speak for itself; a folder named here stands for all it holds
    ".ci/": "continuous integration",
    ".ci/run": "everything a change must pass, from a clean clone, on a CPU",
    ".gitignore": "what git leaves alone",
    "CHANGELOG.md": "what changed, by version",
    "Justfile": "the commands developers use",
    "LICENSE": "Apache-2.0",
    "README.md": "this page",
    "docs/": "pages",
    "docs/ablation/": "what make_ablation.py keeps of each run: figures, pictures, and the base that all start from",
    "docs/ablation.json": "the figures of docs/ablation.md, as written by make_ablation_table.py",
    "docs/ablation-sheet.png": "a strip of pictures of each row of docs/ablation.md",
    "engines/pose/chest.json": "the weights of chest.py, as written by docs/make_chest.py",
    "docs/mini/": "training logs of the shipped models",
    "docs/mini-quality.json": "the figures of docs/mini.md, as written by make_mini.py",
    "docs/evaluation.json": "the figures of docs/evaluate.md, as written by make_evaluation.py",
    "docs/masks.png": "masks of garments from the worst to the best, made by make_masks.py",
    "docs/masks-photos.png": "masks of real photos, without the photos, made by make_masks.py",
    "docs/tryon.json": "the figures of docs/tryon.md, as written by make_tryon.py",
    "docs/tryon-sheet.png": "person, garment, mask, rivals, result and truth, made by make_tryon.py",
    "docs/report.png": "the top of a report page",
    "docs/report-video.png": "a video on a report page",
    "docs/dance.png": "README's picture: reference, skeletons and result, made by the tool",
    "engines/": "the machinery, one room a job; nothing here talks to people",
    "engines/bundles/": "shipped models: bundle.json, ONNX graphs and their weights",
    "engines/core/": "contracts on numpy and the standard library: errors, specs, schedule, windows, keypoints, bundle",
    "engines/evaluate/": "metrics, protocols, statistics and the report page of scd evaluate",
    "engines/evaluate/networks/": "torch: the networks that learned metrics need, their weights by path",
    "engines/evaluate/report/": "report.html: one page with its media, and the style and script it is made of",
    "engines/evaluate/report/page.css": "the page's style",
    "engines/evaluate/report/page.html": "the page's frame",
    "engines/evaluate/report/page.js": "the page's script: videos in step, sorting, marked lines",
    "engines/evaluate/report/paper.json": "the paper's Tables 1 and 2",
    "engines/evaluate/weights.json": "the files of weights: names, sha256, where to get them, licences",
    "engines/export/": "torch: a checkpoint as a bundle of ONNX graphs, compared with torch",
    "engines/generate/": "animate and try-on, without torch",
    "engines/media/": "pictures and video in and out",
    "engines/model/": "torch: the networks",
    "engines/pose/": "drivers, keypoint files, drawing",
    "engines/prepare/": "data sets: synthetic people, films, try-on pairs",
    "engines/prepare/footage/": "films become clips, and try-on pairs whole ones",
    "engines/sessions/": "what runs a graph",
    "engines/train/": "torch: the training stages",
    "examples/": "a picture, a driver and a garment to try scd on",
    "pyproject.toml": "the package, its extras, and the settings of every tool",
    "recipes/": "training recipes, complete and strict",
    "scd_cli/": "the command line; nothing heavy is imported before a command runs",
    "scd_cli/commands/": "one file a command: options, help with examples, one lazy call",
    "tests/": "one folder a room, and e2e",
}
PICTURES = (".png", ".jpg")
CLOSED = ("engines/bundles/", "examples/", "docs/ablation/", "docs/mini/")  # folders of data have one line


def tracked() -> list[str]:
    """Tracked files that hold something; an empty __init__.py needs no line."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in names if (ROOT / name).is_file() and (ROOT / name).stat().st_size]


def sentence(name: str) -> str:
    """What a file says of itself: docstring, first comment or heading, up to the end of its first sentence."""
    if name in SPOKEN:
        return SPOKEN[name]
    path = ROOT / name
    if path.suffix in PICTURES:
        first = "a picture made by the tool"
    elif path.suffix == ".py":
        first = (ast.get_docstring(ast.parse(path.read_text())) or "").replace("\n", " ")
    elif path.suffix in (".md", ".toml"):
        first = path.read_text().splitlines()[0].lstrip("# ")
    else:
        first = ""
    if not first:
        raise SystemExit(
            f"{name} has no docstring, comment or heading that README's tree could show; write one or name it in docs/make_tree.py"
        )
    return re.split(r"\. (?=[A-Z`])|\.$|; | \(see |: `?python", first)[0]


def lines() -> list[tuple[int, str, str]]:
    """(depth, name, sentence) of every folder and file, folders first named when their first file comes."""
    out: list[tuple[int, str, str]] = []
    known: set[str] = set()
    for name in sorted(tracked(), key=lambda n: (n.count("/") == 0, n)):
        parts = name.split("/")
        folders = ["/".join(parts[: i + 1]) + "/" for i in range(len(parts) - 1)]
        for depth, folder in enumerate(folders):
            if folder not in known:
                known.add(folder)
                out.append((depth, parts[depth] + "/", SPOKEN.get(folder, "")))
        if not any(folder in CLOSED for folder in folders):
            out.append((len(folders), parts[-1], sentence(name)))
    return out


def tree() -> str:
    rows = [("  " * depth + name, text) for depth, name, text in lines()]
    width = max(len(left) for left, _ in rows) + 2
    return "".join(f"{left:<{width}}{text}".rstrip() + "\n" for left, text in rows)


def main() -> int:
    readme = README.read_text()
    fresh = BLOCK.sub(lambda _: tree(), readme)
    if "--check" not in sys.argv:
        README.write_text(fresh)
        return 0
    if fresh == readme:
        return 0
    print("README's tree is stale; run: python docs/make_tree.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
