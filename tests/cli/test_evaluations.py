"""`scd evaluate` on the command line: the list, the table, the comparison, usage errors, and weights that are not what they say."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from scd_cli.main import app, explained
from tests.evaluate import trees


def scd(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env={"COLUMNS": "100"})


def sentence(done: Result, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and stderr as the entry point would have them."""
    assert isinstance(done.exception, Exception)
    capsys.readouterr()
    return explained(done.exception), capsys.readouterr().err


@pytest.fixture
def sides(tmp_path: Path) -> Path:
    for side, shift in (("pred", 3), ("other", 9), ("truth", 0)):
        trees.videos(tmp_path / side, tuple("abcdefg"), shift=shift)
    return tmp_path


def judge(root: Path, side: str = "pred", *more: object) -> Result:
    return scd("--pred", root / side, "--gt", root / "truth", "--protocol", "native", "--media", 0, "--out", root / f"{side}-out", *more)


def test_list_shows_protocols_metrics_and_needs() -> None:
    text = scd("--list").stdout
    for word in ("disco-2023", "vitonhd-ladi", "psnr_legacy_uint8", "fvd_i3d400", "i3d_pretrained_400.pt"):
        assert word in text
    data = json.loads(scd("--list", "--json").stdout)
    assert data["metrics"]["psnr"]["needs"] == []
    assert data["metrics"]["fid_vid_rn50"]["needs"] == ["resnet-50-kinetics.pth"]
    assert data["weights"]["i3d400"]["state"] == "missing"
    assert "github.com/Wangt-CN/DisCo" in data["weights"]["i3d400"]["source"]
    assert "fid_clean" in data["protocols"]["corrected"]["metrics"]


def test_the_table_is_on_stderr_and_the_page_on_stdout(sides: Path) -> None:
    done = judge(sides, "pred", "--metrics", "psnr,mae")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{sides / 'pred-out' / 'report.html'}\n"
    assert "7 videos, 21 frames" in done.stderr
    document = json.loads((sides / "pred-out" / "metrics.json").read_text())
    assert document["made"]["versions"]["numpy"] == np.__version__


def test_compare_prints_a_row_for_each_metric_and_writes_json(sides: Path) -> None:
    for side in ("pred", "other"):
        assert judge(sides, side, "--metrics", "psnr,mae").exit_code == 0
    out = sides / "compared.json"
    done = scd("--compare", sides / "pred-out", sides / "other-out", "--out", out)
    assert done.exit_code == 0, done.output
    rows = {line.split()[0]: line.split()[-1] for line in done.stdout.splitlines()[1:3]}
    assert rows == {"psnr": "A", "mae": "A"}
    found = json.loads(out.read_text())
    assert {m["name"]: m["winner"] for m in found["metrics"]} == {"psnr": "a", "mae": "a"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "give --pred, --gt and --out, or --compare or --list"),
        (("--pred", "a", "--gt", "b"), 2, "give --pred, --gt and --out"),
        (("--pred", "nowhere", "--gt", "b", "--out", "c"), 1, "the prediction nowhere does not exist"),
        (("--pred", "a", "--gt", "b", "--out", "c", "--protocol", "disco"), 2, "there is no protocol disco; did you mean disco-2023?"),
        (("--compare", "a.json", "b.json"), 1, "the evaluation a.json cannot be read"),
    ],
)
def test_usage(
    arguments: tuple[str, ...], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exit_code, text = sentence(scd(*arguments), capsys)
    assert exit_code == code
    assert says in text
    assert text.count("\n") == 1


def test_weights_with_nan_and_other_files_under_their_name(sides: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    weights = sides / "weights"
    weights.mkdir()
    network = weights / "resnet-50-kinetics.pth"
    for content, says in (
        ({"state_dict": {"module.conv1.weight": torch.full((64, 3, 7, 7, 7), float("nan"))}}, "resnet-50-kinetics.pth"),
        ({"weight": torch.zeros(3)}, "resnet-50-kinetics.pth"),
    ):
        torch.save(content, network)
        trees.videos(sides / "long", ("a", "b"), numbers=range(20))
        trees.videos(sides / "long-truth", ("a", "b"), numbers=range(20), shift=4)
        done = scd("--pred", sides / "long", "--gt", sides / "long-truth", "--protocol", "native", "--metrics", "fid_vid_rn50",
                   "--weights-dir", weights, "--out", sides / "out")  # fmt: skip
        code, text = sentence(done, capsys)
        assert code == 1
        assert says in text
        assert text.count("\n") == 1
        assert not (sides / "out").exists()
