# List what there is
default:
    @just --list

# Everything CI runs
check:
    bash .ci/run

# Tests; options pass to pytest, as `just test tests/cli -k help`
test *options:
    python -m pytest {{ options }}

# Lint and format check
lint:
    ruff check .
    ruff format --check .

# Format, and mend what ruff can mend
format:
    ruff format .
    ruff check --fix .

# Types
types:
    mypy

# The walls between the rooms
imports:
    lint-imports

# Write docs/cli.md from --help, and README's tree from the files' first sentences
docs:
    python docs/make_cli.py
    python docs/make_tree.py

# Times and memory of start-up and of the main job, printed; `just bench full|long|evaluate|tryon|train` measures a full-size model, a long clip, an evaluation, try-on, a training step
bench *options:
    python tests/bench.py {{ options }}

# The wheel, and what is in it
wheel:
    python -m pip wheel --no-deps --wheel-dir dist .
    python -m zipfile --list dist/*.whl
