"""The names of the recipes of this package: the TOML files in `nas/training/recipes`. Imports no jax."""

from importlib.resources import files
from typing import Any

DEFAULT = "ours"
SUFFIX = ".toml"


def recipe_folder() -> Any:
    """Return the folder of the files."""
    return files("nas.training").joinpath("recipes")


def recipe_names() -> tuple[str, ...]:
    """Return the names, the default first."""
    found = sorted(path.name.removesuffix(SUFFIX) for path in recipe_folder().iterdir() if path.name.endswith(SUFFIX))
    return (DEFAULT, *(name for name in found if name != DEFAULT))
