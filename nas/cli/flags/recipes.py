"""nas recipes: its flags."""

import argparse

from nas.cli.flags.shared import add_json
from nas.training.recipe_names import recipe_names

DESCRIPTION = """\
List the recipes that nas train --recipe can name, or print one as the file that
it is: its source, its settings, and what to know of them. A recipe of your own
is such a file: nas recipes ours > mine.toml is a start, and nas train NETWORK
--recipe mine.toml trains by it."""
EXAMPLE = "nas recipes small-data"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument(
        "recipe", nargs="?", metavar="R", help=f"one recipe, or a .toml file of your own: {', '.join(recipe_names())}"
    )
    add_json(parser.add_argument_group("output"))
