"""A task: by the pinball loss the quantile above nine in ten of the targets; a data set says what it is for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.data import Dataset, Labelled, build_dataset
from nas.tasks import Regression
from nas.tasks.metric import Metric, PerOutput, at_least

SHARE = 0.9  # of the targets that lie below the answer


def pinball(error: Any) -> Any:
    """Return the pinball losses of targets less outputs (Koenker and Bassett 1978)."""
    return SHARE * error.clip(0) + (1 - SHARE) * (-error).clip(0)


class PinballSkill(PerOutput):
    """1 - pinball loss / that of the answer 0, the mean of standardised targets."""

    name, title, blocks = "pinball_skill", "pinball skill", 2

    def quantities(self, outputs: Any, targets: Any) -> tuple[Any, ...]:
        """Return the losses of the outputs and of the mean."""
        return pinball(targets - outputs), pinball(targets + 0 * outputs)

    def each(self, *means: Any) -> Any:
        """Return the skill of each output."""
        return 1 - means[0] / at_least(means[1])

    def slopes(self, *means: Any) -> tuple[Any, ...]:
        """Return the derivatives by both losses."""
        return -1 / at_least(means[1]), means[0] / at_least(means[1]) ** 2


@dataclass(frozen=True)
class Quantile(Regression):
    """A regression of another loss and of another score."""

    kind = "quantile"

    @property
    def score(self) -> Metric:
        """The skill of the pinball loss."""
        return PinballSkill()

    def loss(self, outputs: Any, targets: Any) -> Any:
        """Return the mean pinball loss, in standard deviations of the targets."""
        return pinball(self.scaled(targets) - outputs).mean()

    def distil(self, outputs: Any, soft: Any, targets: Any) -> Any:
        """Return the loss against the outputs of a teacher."""
        return pinball(soft - outputs).mean()


def load_dark_images(folder: Path) -> Dataset:
    """Return grey 8 x 8 images whose darkness, with noise of its own, is to be bounded from above."""
    train, test = _images(160, seed=0), _images(64, seed=1)
    return build_dataset("dark images", train, test, class_names=("darkness",), task=Quantile.of(train.y))


def _images(count: int, seed: int) -> Labelled:
    rng = np.random.default_rng(seed)
    dark = rng.uniform(0, 200, (count, 1))
    x = np.clip(255 - dark[..., None] + rng.normal(0, 8, (count, 8, 8)), 0, 255)
    return Labelled(x.astype(np.uint8), (dark + rng.exponential(20, dark.shape)).astype(np.float32))
