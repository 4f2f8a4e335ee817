"""Recipes of trainings as data: a TOML file each, in `nas/training/recipes` or one of the user's.

A recipe says how long and with which optimizer, schedule, average, loss, augmentation, mixing and regularisation a
network is trained. What it leaves out is as in `ours`, the default of `nas train`.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from nas.data.random_augment import ImageAugmentation
from nas.errors import InvalidInput, unknown_name
from nas.files import LARGEST_TEXT, check_limits, read_bytes
from nas.records.typed import Fraction, NonNegative, PositiveCount, typed
from nas.training.config import TrainingConfig
from nas.training.fine_tuning import FineTuning
from nas.training.ingredients import Ingredients, Precision
from nas.training.mixing import Mixing
from nas.training.optimizers import AdamW, OptimizerConfig, RMSProp
from nas.training.recipe_names import DEFAULT as DEFAULT
from nas.training.recipe_names import SUFFIX, recipe_folder, recipe_names
from nas.training.regularised import Regularisation

OPTIMIZERS: dict[str, Any] = {"AdamW": AdamW, "RMSProp": RMSProp}
PARTS: dict[str, Any] = {
    "augmentation": ImageAugmentation, "mixing": Mixing, "regularisation": Regularisation,
}  # fmt: skip
MOST_WARMUP = 0.2  # of a training that is shorter than the recipe's


@dataclass(frozen=True)
class TrainingRecipe:
    """A recipe as its file states it; a warm-up is in epochs, or a fraction of the training."""

    description: str = ""
    source: str = ""
    epochs: PositiveCount = 30
    batch_size: PositiveCount = 128
    rate_with_batch: bool = False  # whether the learning rate is in proportion to another batch size
    warmup_epochs: NonNegative | None = None
    warmup_fraction: Fraction = 0.05  # where there are no warm-up epochs
    final_rate: Fraction = 0.0
    label_smoothing: Fraction = 0.1
    ema_decay: Fraction = 0.9995
    validation: Fraction = 0.0
    patience: int = 0
    optimizer: Any = field(default_factory=AdamW)
    augmentation: ImageAugmentation = field(default_factory=ImageAugmentation)
    mixing: Mixing = field(default_factory=Mixing)
    regularisation: Regularisation = field(default_factory=Regularisation)

    @property
    def ingredients(self) -> Ingredients:
        """What a step depends on beyond optimizer and schedule."""
        return Ingredients(self.augmentation, self.mixing, self.regularisation, final_rate=self.final_rate)


@dataclass(frozen=True)
class Overrides:
    """What a call says instead of the recipe; None leaves it to that."""

    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    validation: float | None = None
    patience: int | None = None
    seed: int = 0
    precision: Precision = "auto"
    fine_tuning: FineTuning = field(default_factory=FineTuning)


def resolved(recipe: TrainingRecipe, overrides: Overrides) -> TrainingConfig:
    """Return the settings of a training by `recipe` with these `overrides`."""
    o = overrides
    epochs, batch_size = o.epochs or recipe.epochs, o.batch_size or recipe.batch_size
    rate = recipe.optimizer.learning_rate
    if o.learning_rate is not None:
        rate = o.learning_rate
    elif recipe.rate_with_batch:
        rate = rate * batch_size / recipe.batch_size
    warmup = recipe.warmup_fraction
    if recipe.warmup_epochs is not None:
        warmup = min(recipe.warmup_epochs / epochs, MOST_WARMUP)
    ingredients = replace(recipe.ingredients, fine_tuning=o.fine_tuning, precision=o.precision)
    return TrainingConfig(
        epochs, batch_size, replace(recipe.optimizer, learning_rate=rate), recipe.label_smoothing, recipe.ema_decay,
        warmup, o.seed, ingredients,
        recipe.validation if o.validation is None else o.validation,
        recipe.patience if o.patience is None else o.patience,
    )  # fmt: skip


def load_recipe(text: str) -> TrainingRecipe:
    """Return the recipe `text`, a name or the path of a .toml file; `UnknownName` or `InvalidInput` for another."""
    return parse_recipe(recipe_text(text), text) if _is_path(text) else _registered(text)


def recipe_text(text: str) -> str:
    """Return the file of the recipe `text`, a name or a path, as it is written; errors as of `load_recipe`."""
    if _is_path(text):
        path = Path(text)
        if not path.is_file():
            raise InvalidInput(f"there is no recipe file {text}; recipes of this package: {', '.join(recipe_names())}")
        return _decoded(read_bytes(path, LARGEST_TEXT), text)
    if text not in recipe_names():
        raise unknown_name("recipe", text, recipe_names())
    path_of = recipe_folder().joinpath(f"{text}{SUFFIX}")
    return _decoded(path_of.read_bytes(), path_of.name)


def _is_path(text: str) -> bool:
    return text.endswith(SUFFIX) or os.sep in text


@cache
def _registered(name: str) -> TrainingRecipe:
    return parse_recipe(recipe_text(name), f"{name}{SUFFIX}")


def parse_recipe(toml: str, where: str) -> TrainingRecipe:
    """Return the recipe in a text of TOML; `InvalidInput`, which begins with `where`, for any other content."""
    try:
        data = tomllib.loads(toml)
    except (ValueError, RecursionError) as error:
        reason = "its tables nest too deep" if isinstance(error, RecursionError) else error
        raise InvalidInput(f"{where} is not valid TOML: {reason}") from error
    check_limits(data, f"{where} is not valid TOML")
    _check_keys(data, (one.name for one in fields(TrainingRecipe)), where)
    tables = {name: _table(data, name, where) for name in ("optimizer", *PARTS) if name in data}
    plain = {name: value for name, value in data.items() if name not in tables}
    parts = {name: _part(PARTS[name], table, f"{where}: {name}") for name, table in tables.items() if name in PARTS}
    if "optimizer" in tables:
        parts["optimizer"] = _optimizer(tables["optimizer"], f"{where}: optimizer")
    recipe: TrainingRecipe = replace(_part(TrainingRecipe, plain, where), **parts)
    try:
        resolved(recipe, Overrides())
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from error
    return recipe


def _optimizer(table: Mapping[str, Any], where: str) -> OptimizerConfig:
    name = table.get("name", "AdamW")
    if not isinstance(name, str) or name not in OPTIMIZERS:
        raise InvalidInput(f"{where}: name must be one of {', '.join(OPTIMIZERS)}, got {name!r:.40}")
    found: OptimizerConfig = _part(OPTIMIZERS[name], {k: v for k, v in table.items() if k != "name"}, where)
    return found


def _table(data: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    if not isinstance(data[name], dict):
        raise InvalidInput(f"{where}: {name} must be a table, [{name}], got {data[name]!r:.40}")
    return dict(data[name])


def _part(cls: Any, table: Mapping[str, Any], where: str) -> Any:
    """Return the `cls` that a table states; `InvalidInput` for a key that it has not, or a value of another kind."""
    _check_keys(table, (one.name for one in fields(cls)), where)
    try:
        return typed(cls, table)
    except TypeError as error:
        raise InvalidInput(f"{where}: {error}; what each key takes: docs/extending.md#a-recipe") from error
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from error


def _check_keys(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    names = list(known)
    for key in table:
        if key not in names:
            near = get_close_matches(key, names, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"
            raise InvalidInput(f"{where}: unknown key '{key:.40}'; {hint}")


def recipe_toml(config: TrainingConfig, origin: str) -> str:
    """Return the settings of a training as the text of a recipe file; `origin` says which recipe they are from."""
    optimizer: Any = config.optimizer
    plain = {
        "description": f"as resolved from {origin}", "epochs": config.epochs, "batch_size": config.batch_size,
        "warmup_fraction": config.warmup_fraction, "final_rate": config.ingredients.final_rate,
        "label_smoothing": config.label_smoothing, "ema_decay": config.ema_decay, "validation": config.validation,
        "patience": config.patience,
    }  # fmt: skip
    tables: dict[str, dict[str, Any]] = {"optimizer": {"name": type(optimizer).__name__, **asdict(optimizer)}}
    tables |= {name: asdict(getattr(config.ingredients, name)) for name in PARTS}
    lines = [f"{name} = {_toml(value)}" for name, value in plain.items()]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Return a number, a truth value or a text as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = "".join(f"\\u{ord(c):04x}" if c in '"\\' or ord(c) < 32 or ord(c) == 127 else c for c in value)
        return f'"{escaped}"'
    return repr(value)


def recipe_lines(name: str, config: TrainingConfig) -> list[str]:
    """Return what a resolved recipe says, in lines."""
    o, i = config.optimizer, config.ingredients
    end = f", down to {i.final_rate:g} of that" if i.final_rate else ""
    head = (
        f"recipe {name}: {type(o).__name__}, learning rate {o.learning_rate:.4g}{end}, weight decay "
        f"{getattr(o, 'weight_decay', 0):g} (of kernels only), warm-up {config.warmup_fraction * config.epochs:.3g} "
        f"epochs, label smoothing {config.label_smoothing:g}, "
        + (f"average of {config.ema_decay:g}" if config.ema_decay else "no average of the weights")
    )
    return [head, *(f"recipe {name}: {text}" for text in (", ".join(_ingredient_texts(config)),) if text)]


def _ingredient_texts(config: TrainingConfig) -> Iterable[str]:
    a, m, r = (getattr(config.ingredients, name) for name in PARTS)
    if a.crop_area:
        yield f"crops of {a.crop_area:.0%} and more"
    if a.layers:
        layers = f"{a.layers} layer{'s' if a.layers > 1 else ''}"
        yield f"RandAugment of {layers}, probability {a.probability:g}, magnitude {a.magnitude:g} (usually up to 10)"
    if a.erasing:
        yield f"random erasing of {a.erasing:.0%}"
    if m.probability:
        kinds = [f"{n} of alpha {v:g}" for n, v in (("mixup", m.mixup_alpha), ("cutmix", m.cutmix_alpha)) if v]
        yield f"{m.probability:.0%} of the images mixed: {' or '.join(kinds)}"
    if r.dropout:
        yield f"dropout {r.dropout:g}"
    if r.stochastic_depth:
        yield f"stochastic depth {'up to ' if r.depth_schedule == 'linear' else ''}{r.stochastic_depth:g}"
    if config.validation:
        ends = f", ends after {config.patience} epochs without a better one" if config.patience else ""
        yield f"{config.validation:.0%} of the training images for validation{ends}"


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{where} is not valid TOML: it is not UTF-8 text") from error
