"""Where recipes lie: a path, or the name of one that ships with scd. What is in them is for engines.core.recipe to read."""

from importlib.resources import files
from pathlib import Path

from engines.core.errors import ScdError
from engines.core.recipe import nearest


def recipe_root() -> Path:
    """The folder of shipped recipes: inside the package, or `recipes/` of an editable checkout."""
    package = Path(str(files("scd_cli")))
    shipped = package / "_recipes"
    return shipped if shipped.is_dir() else package.parent / "recipes"


def recipe_names() -> list[str]:
    """Shipped recipes by name, as `mini/scd-i`."""
    root = recipe_root()
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.toml"))


def find_recipe(path_or_name: str) -> Path:
    """The file of a recipe. A file that exists wins over a shipped name; ScdError tells the nearest name."""
    path = Path(path_or_name)
    if path.is_file():
        return path
    name = path_or_name.removesuffix(".toml").removeprefix("recipes/")
    if name in recipe_names():
        return recipe_root() / f"{name}.toml"
    raise ScdError(f"there is no recipe {path_or_name}, neither a file nor a shipped one", nearest(name, dict.fromkeys(recipe_names())))
