"""Freed pictures are kept: page faults on fresh memory otherwise cost more than the arithmetic of the pixel metrics."""

import ctypes
from contextlib import suppress

TRIM, MMAP = -1, -3  # glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD
KEPT = 256 << 20
LARGEST = 32 << 20  # the most that glibc takes from its heaps


def keep_freed() -> None:
    """Tell glibc's allocator to hold on to freed arrays of up to 32 MB. Nothing happens where another allocator serves."""
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP, LARGEST)
        libc.mallopt(TRIM, KEPT)
