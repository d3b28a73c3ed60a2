"""Giving freed memory back to the system."""

import ctypes
from contextlib import suppress


def give_back() -> None:
    """glibc keeps freed blocks below 32 MB for itself: 0.8 GB after loading a full-size graph, 2.4 GB after an export's weights."""
    with suppress(OSError, AttributeError):  # other C libraries have no such call
        ctypes.CDLL("libc.so.6").malloc_trim(0)
