"""Recipes: what the files say, what a call overrides, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from nas.errors import InvalidInput, UnknownName
from nas.training.config import TrainingConfig
from nas.training.optimizers import AdamW, RMSProp
from nas.training.recipe import Overrides, load_recipe, parse_recipe, recipe_lines, recipe_names, recipe_toml, resolved

# arXiv 2404.10518, Tab. 10: batch, peak rate, end, epochs, warm-up, decay, beta1, eps, average, dropout, depth,
# RandAugment's probability and magnitude, probability of mixing.
PUBLISHED = {
    "mobilenetv4-conv-s": (4096, 0.002, 0, 9600, 5, 0.01, 0.6, 1e-6, 0.9999, 0.3, 0, 0.5, 9, 0),
    "mobilenetv4-conv-m": (4096, 0.004, 0, 500, 5, 0.1, 0.9, 1e-7, 0, 0.2, 0.075, 0.7, 15, 0),
    "mobilenetv4-hybrid-m": (16384, 0.016, 0, 500, 20, 0.1, 0.9, 1e-7, 0, 0.2, 0.075, 0.7, 15, 0),
    "mobilenetv4-conv-l": (16384, 0.004, 0, 500, 20, 0.2, 0.9, 1e-7, 0, 0.2, 0.35, 1, 15, 0.3),
    "mobilenetv4-hybrid-l": (16384, 0.01, 0.001, 500, 20, 0.2, 0.9, 1e-7, 0, 0.2, 0.35, 1, 15, 0.3),
}


def test_ours_is_the_default_to_the_byte() -> None:
    assert recipe_names()[0] == "ours"
    config = resolved(load_recipe("ours"), Overrides())
    assert config == TrainingConfig()
    assert set(config.to_dict()) == {
        "epochs", "batch_size", "label_smoothing", "ema_decay", "warmup_fraction", "seed", "optimizer", "learning_rate",
        "weight_decay", "beta1", "beta2",
    }  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes_are_those_of_the_table(name: str) -> None:
    config = resolved(load_recipe(name), Overrides())
    optimizer, parts = config.optimizer, config.ingredients
    assert isinstance(optimizer, AdamW) and optimizer.beta2 == 0.999
    warmup = round(config.warmup_fraction * config.epochs, 6)
    assert PUBLISHED[name] == (
        config.batch_size, optimizer.learning_rate, parts.final_rate, config.epochs, warmup, optimizer.weight_decay,
        optimizer.beta1, optimizer.eps, config.ema_decay, parts.regularisation.dropout,
        parts.regularisation.stochastic_depth, parts.augmentation.probability, parts.augmentation.magnitude,
        parts.mixing.probability,
    )  # fmt: skip
    assert (config.label_smoothing, parts.augmentation.layers, parts.augmentation.crop_area) == (0.1, 2, 0.08)
    if parts.mixing.probability:
        assert (parts.mixing.mixup_alpha, parts.mixing.cutmix_alpha, parts.mixing.cutmix_share) == (0.8, 1, 0.5)


@pytest.mark.parametrize("name", recipe_names())
def test_a_resolved_recipe_is_a_recipe(name: str) -> None:
    stated = load_recipe(name)
    assert stated.description and stated.source and recipe_lines(name, resolved(stated, Overrides()))
    config = resolved(stated, Overrides(epochs=7, batch_size=12, seed=3))
    assert resolved(parse_recipe(recipe_toml(config, name), "again"), Overrides(seed=3)) == config


def test_calls_override_and_rates_go_with_the_batch_where_the_recipe_says_so() -> None:
    published = load_recipe("mobilenetv4-conv-m")
    assert resolved(published, Overrides(batch_size=512)).optimizer.learning_rate == pytest.approx(0.0005)
    assert resolved(published, Overrides(batch_size=512, learning_rate=0.1)).optimizer.learning_rate == 0.1
    assert resolved(load_recipe("ours"), Overrides(batch_size=64)).optimizer.learning_rate == 4e-3
    assert resolved(published, Overrides(epochs=10)).warmup_fraction == 0.2  # not half of the training
    config = resolved(published, Overrides(validation=0.1, patience=3))
    assert (config.validation, config.patience) == (0.1, 3)


def test_a_file_of_the_user_may_say_a_part(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('epochs = 3\n[optimizer]\nname = "RMSProp"\nlearning_rate = 0.01\n')
    config = resolved(load_recipe(str(path)), Overrides())
    assert config == replace(TrainingConfig(), epochs=3, optimizer=RMSProp(0.01))


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("epoch = 3", "unknown key 'epoch'; did you mean 'epochs'"),
        ("[mixing]\nprobabilty = 1", "mixing: unknown key 'probabilty'; did you mean 'probability'"),
        ("epochs = 0", "epochs is 0, and must be at least 1"),
        ('epochs = "3"', "epochs is '3'; what each key takes"),
        ("augmentation = 3", r"augmentation must be a table, \[augmentation\], got 3"),
        ("[optimizer]\nname = 'SGD'", "name must be one of AdamW, RMSProp, got 'SGD'"),
        ("[augmentation]\nmagnitude = 31", "magnitude of the augmentation must lie between 0 and 30"),
        ("[mixing]\nprobability = 0.5", "give mixup_alpha or cutmix_alpha above 0"),
        ("[regularisation]\ndropout = 1", "dropout must lie between 0 and 0.9"),
        ("patience = 3", "patience counts epochs"),
        ("epochs = ", "is not valid TOML"),
    ],
)
def test_bad_files_get_one_line(toml: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as error:
        parse_recipe(toml, "mine.toml")
    assert str(error.value).startswith("mine.toml") and "\n" not in str(error.value)


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown recipe 'smal-data'; did you mean 'small-data'"):
        load_recipe("smal-data")
    with pytest.raises(InvalidInput, match="there is no recipe file"):
        load_recipe(str(tmp_path / "none.toml"))
