"""The table of weights and the search for them, on small files with the real names."""

import hashlib
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from engines.core.errors import ScdError, UsageError
from engines.evaluate.weights import VARIABLE, Entry, WeightsMissing, candidates, checked, find, table

KEYS = {
    "inception_fid", "vgg16", "alexnet", "squeezenet", "lpips_vgg", "lpips_alex", "lpips_squeeze", "resnet3d50", "i3d400", "videomae",
    "arcface", "yunet", "sface", "dino", "clip",
}  # fmt: skip
MISSING = "resnet-50-kinetics.pth"


@pytest.fixture(autouse=True)
def nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_table_is_complete() -> None:
    assert set(table()) == KEYS
    for entry in table().values():
        assert entry.names
        assert all((entry.source, entry.licence, entry.what))
        assert entry.sha256 is None or re.fullmatch("[0-9a-f]{64}", entry.sha256)


@pytest.mark.parametrize("key", sorted(KEYS))
def test_digests_agree_with_the_names_of_torch_hub(key: str) -> None:
    entry = table()[key]
    for name in entry.names:
        if digits := re.search(r"-([0-9a-f]{8})\.pth$", name):
            assert (entry.sha256 or entry.sha256_prefix or "").startswith(digits[1])


def test_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing) as caught:
        find("resnet3d50", tmp_path)
    assert caught.value.message == f"{MISSING} not found, get it from {table()['resnet3d50'].source}"
    assert caught.value.hint is not None
    assert "--weights-dir" in caught.value.hint
    with pytest.raises(WeightsMissing):
        find("resnet3d50", None)


def test_folder_goes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flag, variable = tmp_path / "flag", tmp_path / "variable"
    for place in (flag, variable):
        place.mkdir()
    monkeypatch.setenv(VARIABLE, str(variable))
    (variable / MISSING).write_bytes(b"variable")
    assert find("resnet3d50", flag).path == find("resnet3d50", None).path == variable / MISSING
    (flag / MISSING).write_bytes(b"flag")
    found = find("resnet3d50", flag)
    assert (found.key, found.path, found.sha256) == ("resnet3d50", flag / MISSING, sha256(b"flag"))


def test_other_names_come_after_the_canonical_one(tmp_path: Path) -> None:
    for name in reversed(table()["i3d400"].names):
        (tmp_path / name).write_bytes(name.encode())
        assert find("i3d400", tmp_path).path.name == name


def test_changed_file_has_another_digest(tmp_path: Path) -> None:
    (tmp_path / MISSING).write_bytes(b"one")
    assert find("resnet3d50", tmp_path).sha256 == sha256(b"one")
    (tmp_path / MISSING).write_bytes(b"another")
    assert find("resnet3d50", tmp_path).sha256 == sha256(b"another")


@pytest.mark.parametrize(
    ("key", "name"), [("vgg16", "vgg16-397923af.pth"), ("alexnet", "alexnet-owt-7be5be79.pth"), ("lpips_vgg", "vgg.pth")]
)
def test_wrong_file_is_refused(key: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"another")
    with pytest.raises(ScdError, match=f"wrong file .*{name}, its sha256 begins with {sha256(b'another')[:8]}") as caught:
        find(key, tmp_path)
    assert not isinstance(caught.value, WeightsMissing)
    assert caught.value.hint == f"get it from {table()[key].source}"


def test_right_digits_are_enough(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"content")
    entry = Entry(("a.pth",), "here", "free", "a test", sha256_prefix=sha256(b"content")[:8])
    assert checked("a", entry, tmp_path / "a.pth").sha256 == sha256(b"content")
    (tmp_path / "a.pth").write_bytes(b"contents")
    with pytest.raises(ScdError, match="wrong file"):
        checked("a", entry, tmp_path / "a.pth")


def test_converted_file_is_taken_after_the_original(tmp_path: Path) -> None:
    (tmp_path / "vgg16-397923af.safetensors").write_bytes(b"converted")
    assert find("vgg16", tmp_path).sha256 == sha256(b"converted")
    (tmp_path / "vgg16-397923af.pth").write_bytes(b"wrong")
    with pytest.raises(ScdError, match="wrong file"):
        find("vgg16", tmp_path)


def test_onnx_files_have_no_conversion(tmp_path: Path) -> None:
    assert [path.name for path in candidates(table()["yunet"], tmp_path)] == list(table()["yunet"].names)


def test_folder_of_weights(tmp_path: Path) -> None:
    folder = tmp_path / "dinov2-base"
    folder.mkdir()
    with pytest.raises(ScdError, match=r"dinov2-base has no model\.safetensors"):
        find("dino", tmp_path)
    (folder / "model.safetensors").write_bytes(b"weights")
    found = find("dino", tmp_path)
    assert (found.path, found.sha256) == (folder, sha256(b"weights"))


def test_folder_and_file_are_not_confused(tmp_path: Path) -> None:
    (tmp_path / "clip").write_bytes(b"")
    with pytest.raises(ScdError, match="clip is not a folder"):
        find("clip", tmp_path)
    (tmp_path / MISSING).mkdir()
    with pytest.raises(ScdError, match=f"{MISSING} is not a file"):
        find("resnet3d50", tmp_path)


def test_lost_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"lost is not there; correct --weights-dir"):
        find("vgg16", tmp_path / "lost")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(UsageError, match=rf"gone is not there; correct \${VARIABLE}"):
        find("vgg16", tmp_path)


@pytest.mark.skipif(not (find_spec("lpips") or find_spec("torchmetrics")), reason="neither lpips nor torchmetrics is installed")
@pytest.mark.parametrize("trunk", ["vgg", "alex", "squeeze"])
def test_heads_of_an_installed_package(trunk: str, tmp_path: Path) -> None:
    key = f"lpips_{trunk}"
    installed = find(key, tmp_path)
    assert installed.sha256 == table()[key].sha256
    shutil.copy(installed.path, tmp_path / f"lpips_{trunk}.pth")
    assert find(key, tmp_path).path == tmp_path / f"lpips_{trunk}.pth"


def test_search_imports_nothing_heavy() -> None:
    code = (
        "import sys; from engines.core.errors import ScdError; from engines.evaluate import weights\n"
        "for key in weights.table():\n"
        "    try: weights.find(key, None)\n"
        "    except ScdError: pass\n"
        "print([m for m in ('torch', 'lpips', 'torchmetrics', 'torchvision') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=60)
    assert ran.stdout.strip() == "[]", ran.stderr
