"""nas recipes: the recipes of trainings, or one of them as its file."""

import argparse
from dataclasses import asdict
from typing import Any

from nas.cli.output import print_json, say, show
from nas.training.recipe import TrainingRecipe, load_recipe, recipe_text
from nas.training.recipe_names import recipe_names


def run(args: argparse.Namespace) -> None:
    """Print the recipes, or the file of the one that is named, which is checked before."""
    if args.recipe is None:
        rows = [_row(name, load_recipe(name)) for name in recipe_names()]
        show(args, rows, "nas.cli.tables.recipes:recipes_table", rows)
        return
    recipe = load_recipe(args.recipe)
    if args.json:
        optimizer = {"name": type(recipe.optimizer).__name__, **asdict(recipe.optimizer)}
        print_json({"name": args.recipe, **asdict(recipe), "optimizer": optimizer})
    else:
        say(recipe_text(args.recipe).rstrip("\n"))


def _row(name: str, recipe: TrainingRecipe) -> dict[str, Any]:
    """Return what the list says of a recipe."""
    return {
        "name": name,
        "description": recipe.description,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "optimizer": type(recipe.optimizer).__name__,
        "learning_rate": recipe.optimizer.learning_rate,
        "source": recipe.source,
    }
