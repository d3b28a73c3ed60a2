"""`python -m scd_cli` is `scd`."""

from scd_cli.main import run

if __name__ == "__main__":
    run()
