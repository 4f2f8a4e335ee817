"""Early stopping by the decay of a learning curve: accuracy(epoch) = a - b * epoch ** -c, fitted to what is known.

The curve is `pow3` of Domhan et al., "Speeding up automatic hyperparameter optimization of deep neural networks by
extrapolation of learning curves" (IJCAI 2015, section 3.2), with their rule: stop where the chance to exceed the best
is small. They average eleven curves by Monte Carlo; here it is one curve, exact but for a grid over c.
"""

from dataclasses import dataclass
from math import erf, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

POWERS = np.geomspace(0.1, 4.0, 40)  # the grid over c
FEWEST = 4  # epochs before a curve is extrapolated
CHANCE = 0.05  # below which a trial is stopped
NOISE = 0.005  # standard deviation of an accuracy that is assumed at least

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Extrapolation:
    """What the curve may be at a later epoch: a mixture of normal distributions over the grid of powers."""

    weights: Floats  # [P], sum 1
    means: Floats  # [P]
    deviations: Floats  # [P]

    @property
    def mean(self) -> float:
        """The expected accuracy."""
        return float(self.weights @ self.means)

    def chance_above(self, accuracy: float) -> float:
        """Return the probability that the curve ends above `accuracy`."""
        gaps = (self.means - accuracy) / self.deviations
        return float(self.weights @ np.array([0.5 * (1 + erf(gap / sqrt(2))) for gap in gaps]))


def extrapolate(curve: ArrayLike, epoch: int, noise: float = NOISE) -> Extrapolation:
    """Return what accuracies [E] after epochs 1, 2, ... let expect of `epoch`; accuracy never falls (b >= 0).

    For each c the curve is linear in a and b: least squares, with the error of the prediction from the residuals, or
    `noise` where that is larger. The powers are weighted by how well they fit. Two epochs or more are needed.
    """
    y = np.asarray(curve, np.float64)
    at = np.arange(1, len(y) + 1)
    means, deviations, losses = [], [], []
    for power in POWERS:
        basis, requested = -(at**-power), -(float(epoch) ** -power)
        centred = basis - basis.mean()
        slope = max(0.0, float(centred @ y / (centred @ centred)))
        means.append(min(1.0, float(y.mean() + slope * (requested - basis.mean()))))
        losses.append(float(np.square(y - y.mean() - slope * centred).sum()))
        deviations.append(sqrt(1 + 1 / len(y) + (requested - basis.mean()) ** 2 / float(centred @ centred)))
    freedom = max(1, len(y) - 3)
    scale = max(noise, sqrt(min(losses) / freedom))
    fits = np.exp(-(np.array(losses) - min(losses)) / (2 * scale**2))
    return Extrapolation(fits / fits.sum(), np.array(means), scale * np.array(deviations))


def unlikely_to_improve(
    curve: ArrayLike, epochs: int, best: float, *, chance: float = CHANCE, noise: float = NOISE
) -> bool:
    """Return whether a trial with this curve is unlikely to end, after `epochs`, above the `best` accuracy seen."""
    known = len(np.asarray(curve))
    if known < FEWEST or known >= epochs:
        return False
    return extrapolate(curve, epochs, noise).chance_above(best) < chance
