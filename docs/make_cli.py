"""Write docs/cli.md from the real --help of every command: `python docs/make_cli.py`; with --check, fail when it is stale."""

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("cli.md")
COMMANDS = ("", "prepare-data", "train", "export", "animate", "tryon", "evaluate")
HEAD = """# The command line

Made from `scd --help` by `python docs/make_cli.py`; do not edit by hand.

Results go to stdout (the path of what was written, or with `--json` a summary), everything else to stderr.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | something you can mend (one sentence on stderr says what), or a bug; `SCD_DEBUG=1` shows the traceback |
| 2 | the command line is wrong, or asks for what this version does not build yet |
| 130 | stopped by Ctrl-C; nothing half-written is left |
"""


def help_of(command: str) -> str:
    arguments = [sys.executable, "-m", "scd_cli", *command.split(), "--help"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"})
    return done.stdout.replace("python -m scd_cli", "scd").rstrip()


def section(command: str) -> str:
    title = f"scd {command}".rstrip()
    return f"## `{title}`\n\n```text\n{help_of(command)}\n```\n"


def page() -> str:
    return "\n".join([HEAD, *map(section, COMMANDS)])


def main() -> int:
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text)
        return 0
    if PAGE.exists() and PAGE.read_text() == text:
        return 0
    print("docs/cli.md is stale; run: python docs/make_cli.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
