"""Fixtures that several rooms share."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("scd", deadline=None)  # machines that run these tests are often busy with others
settings.load_profile("scd")
TESTDATA = Path(__file__).parents[2] / "shared" / "testdata"


@pytest.fixture
def testdata() -> Path:
    """The real pictures and clips beside the project; tests that use them carry the marker realdata and are skipped without them."""
    if not TESTDATA.is_dir():
        pytest.skip("../shared/testdata is not here")
    return TESTDATA
