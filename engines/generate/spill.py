"""What does not fit into memory, in a temporary file."""

import tempfile
from types import TracebackType
from typing import Self

from engines.core.errors import ScdError


class Spill:
    """Bytes at places in a file that is gone when this is closed. Plain reads, not a memory map: mapped pages would count as memory.

    `what` and `hint` are for the error of a full disk: what is kept, and what else helps than space.
    """

    def __init__(self, what: str, hint: str) -> None:
        self.file = tempfile.TemporaryFile(prefix="scd-")  # noqa: SIM115 (closed in __exit__)
        self.what, self.hint = what, hint

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.file.close()

    def write(self, start: int, data: bytes) -> None:
        """ScdError when the disk is full."""
        try:
            self.file.seek(start)
            self.file.write(data)
            self.file.flush()
        except OSError as error:
            raise ScdError(f"cannot keep {self.what} in {tempfile.gettempdir()} ({error.strerror})", self.hint) from error

    def read(self, start: int, size: int) -> bytes:
        self.file.seek(start)
        return self.file.read(size)
