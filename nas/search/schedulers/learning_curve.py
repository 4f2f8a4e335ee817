"""Early stopping by extrapolation of a learning curve: accuracy(epoch) = a - b * epoch ** -c, fitted to what is known.

The curve is `pow3` of Domhan et al., "Speeding up automatic hyperparameter optimization of deep neural networks by
extrapolation of learning curves" (IJCAI 2015, section 3.2), with their rule: stop where the probability to exceed the
best is small. They average eleven curves by Monte Carlo; here it is one curve, exact but for a grid over c.
"""

from dataclasses import dataclass
from math import erf, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

POWERS = np.geomspace(0.1, 4.0, 40)  # the grid over c
MIN_EPOCHS = 4  # before a curve is extrapolated
MIN_PROBABILITY = 0.05  # below which a trial is stopped
MIN_NOISE = 0.005  # standard deviation of an accuracy: assumed at least

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Extrapolation:
    """Predicted accuracy at a later epoch: a mixture of P normal distributions, one per power of the grid."""

    weights: Floats  # [P], sum 1
    means: Floats  # [P]
    deviations: Floats  # [P] standard deviations

    @property
    def mean(self) -> float:
        """The expected accuracy."""
        return float(self.weights @ self.means)

    def probability_above(self, accuracy: float) -> float:
        """Return the probability that the curve ends above `accuracy`."""
        gaps = (self.means - accuracy) / self.deviations
        return float(self.weights @ np.array([0.5 * (1 + erf(gap / sqrt(2))) for gap in gaps]))


def extrapolate(curve: ArrayLike, epoch: int, noise: float = MIN_NOISE) -> Extrapolation:
    """Return what the accuracies [E] after epochs 1, 2, ... predict for `epoch`; E >= 2.

    `noise` is the standard deviation of one accuracy at least. Accuracy is assumed never to fall: b >= 0.
    """
    y = np.asarray(curve, np.float64)
    at = np.arange(1, len(y) + 1)
    means, deviations, losses = [], [], []
    for power in POWERS:
        # For a fixed c the curve is linear, y = a + b x with x = -epoch ** -c: simple regression on the centred x.
        x, x_later = -(at**-power), -(float(epoch) ** -power)
        centred = x - x.mean()
        slope = max(0.0, float(centred @ y / (centred @ centred)))
        means.append(min(1.0, float(y.mean() + slope * (x_later - x.mean()))))
        losses.append(float(np.square(y - y.mean() - slope * centred).sum()))
        # Textbook standard error of a prediction in units of the noise: its own, that of the mean, that of the slope.
        deviations.append(sqrt(1 + 1 / len(y) + (x_later - x.mean()) ** 2 / float(centred @ centred)))
    # The noise is estimated from the best fit, with three degrees of freedom for a, b and c; each power then gets the
    # likelihood of its residuals as its weight.
    freedom = max(1, len(y) - 3)
    scale = max(noise, sqrt(min(losses) / freedom))
    fits = np.exp(-(np.array(losses) - min(losses)) / (2 * scale**2))
    return Extrapolation(fits / fits.sum(), np.array(means), scale * np.array(deviations))


def unlikely_to_improve(
    curve: ArrayLike, epochs: int, best: float, *, min_probability: float = MIN_PROBABILITY, noise: float = MIN_NOISE
) -> bool:
    """Return whether a trial with this learning curve is unlikely to end, after `epochs`, above the `best` accuracy.

    Unlikely: with a probability below `min_probability`. False while there are fewer than 4 epochs to go by.
    """
    known = len(np.asarray(curve))
    if known < MIN_EPOCHS or known >= epochs:
        return False
    return extrapolate(curve, epochs, noise).probability_above(best) < min_probability
