"""nas recipes: the recipes of trainings, one of them as its file, and bad names."""

import json
from collections.abc import Callable
from pathlib import Path

from nas.training.recipe import load_recipe
from nas.training.recipe_names import recipe_folder, recipe_names

Run = Callable[..., str]


def test_every_recipe_is_listed_with_what_its_file_says(out: Run) -> None:
    rows = json.loads(out("recipes", "--json"))
    assert tuple(row["name"] for row in rows) == recipe_names()
    row = next(row for row in rows if row["name"] == "mobilenetv4-hybrid-l")
    assert (row["epochs"], row["batch_size"], row["learning_rate"]) == (500, 16384, 0.01)
    shown = out("recipes")
    assert all(name in shown for name in recipe_names())


def test_a_printed_recipe_is_its_file_and_a_recipe_again(out: Run, refusal: Run, tmp_path: Path) -> None:
    shown = out("recipes", "small-data")
    assert shown == recipe_folder().joinpath("small-data.toml").read_text()
    mine = tmp_path / "mine.toml"
    mine.write_text(shown)
    assert load_recipe(str(mine)) == load_recipe("small-data")
    assert json.loads(out("recipes", str(mine), "--json"))["optimizer"]["learning_rate"] == 2e-3
    mine.write_text("epochs = 0\n")
    assert "epochs" in refusal("recipes", str(mine))
    assert "unknown recipe 'small'; did you mean" in refusal("recipes", "small")
