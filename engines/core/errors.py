"""The errors that a user sees: one sentence with what, where and what to do; `exit_code` is the process's."""


class ScdError(Exception):
    """Something the user can mend. The message is one sentence without a full stop; `hint` names the command or flag that mends it."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(ScdError):
    """The command line itself is wrong (exit code 2), as when a range runs backwards."""

    exit_code = 2


class MissingExtra(ScdError):
    """A part of scd needs packages that the base install leaves out."""

    def __init__(self, need: str, extra: str) -> None:
        super().__init__(f"{need} needs packages that are not installed", f"run: pip install 'scd-cli[{extra}]'")
