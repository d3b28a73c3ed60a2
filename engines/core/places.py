"""Where scd keeps what it can make or fetch again."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """$SCD_CACHE, or scd's folder in the user's cache."""
    chosen = os.environ.get("SCD_CACHE")
    if chosen:
        return Path(chosen)
    home = Path(os.environ.get("LOCALAPPDATA") or Path.home()) if sys.platform == "win32" else Path.home() / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or home) / "scd"
