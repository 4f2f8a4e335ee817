"""Study: energy per MAC of Cortex-M7 microcontrollers, from the energies that MLPerf Tiny publishes.

Question: do the measured energies of four unlike networks follow their MACs, so that a target without measurements of
its own can state an energy? Command: python -m experiments.published_energy   (a second)

The energies are medians of mlcommons/tiny_results_v1.0 at abb8e49, closed/STMicroelectronics/results/NUCLEO-H7A3ZI-Q
(STM32H7A3, Cortex-M7 at 280 MHz, X-CUBE-AI, the whole chip while it runs); MACs are counted from the networks of the
benchmark (arXiv 2106.07597, Tab. 1): DS-CNN on 49 x 10, MobileNetV1 0.25 on 96 x 96 x 3, an 8-layer ResNet on
32 x 32 x 3, an autoencoder of dense layers.

Result:

network                    mJ      M MACs   pJ/MAC     mW   left out
keyword spotting        2.722       2.657     1024    162     -16.3 %
visual wake words       7.978       7.490     1065    158     -20.1 %
image classification    8.707      12.502      696    161     +48.1 %
anomaly detection       0.266       0.264     1009    146     -14.7 %
fit: 890 pJ per MAC; largest error left out 48.1 %; mean power 157 mW

So they do: within 21 % for three of them; dense 3x3 convolutions reuse what they load, and take a third less per MAC.
The power hardly depends on the network. Clocks and memories of other Cortex-M7 differ.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from latency_models.energy import MJ_PER_PJ
from nas.zoo import reference

Array = NDArray[np.float64]
MEASURED = {  # network: microjoules an inference, inferences a second
    "keyword spotting": (2721.781, 59.667),
    "visual wake words": (7978.465, 19.749),
    "image classification": (8707.284, 18.443),
    "anomaly detection": (266.486, 548.697),
}


def keyword_spotting_macs() -> int:
    """Return the MACs of the DS-CNN of 64 channels on 49 x 10 coefficients, 12 classes."""
    positions, channels = 25 * 5, 64
    return positions * (10 * 4 * channels + 4 * channels * (9 + channels)) + channels * 12


def image_classification_macs() -> int:
    """Return the MACs of the ResNet of 8 layers on 32 x 32 x 3, 10 classes."""
    macs, side, before = 32 * 32 * 3 * 9 * 16, 32, 16
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        side //= stride
        macs += side**2 * channels * 9 * (before + channels)
        macs += side**2 * before * channels if stride > 1 else 0  # the 1x1 convolution beside
        before = channels
    return macs + before * 10


def anomaly_detection_macs() -> int:
    """Return the MACs of the autoencoder of dense layers."""
    widths = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)
    return sum(a * b for a, b in pairwise(widths))


def macs_of_networks() -> Array:
    """Return the MACs of the networks of `MEASURED` [4]."""
    mobilenet = reference("mobilenetv1", width=0.25, resolution=96)
    wake_words = mobilenet.macs - 256 * (mobilenet.num_classes - 2)  # two classes
    return np.array(
        [keyword_spotting_macs(), wake_words, image_classification_macs(), anomaly_detection_macs()], np.float64
    )


def pj_per_mac(macs: Array, energy_mj: Array) -> float:
    """Return the energy per MAC that fits by least squares of relative errors."""
    relative = macs / energy_mj
    return float(relative.sum() / np.square(relative).sum()) / MJ_PER_PJ


def left_out(macs: Array, energy_mj: Array) -> Array:
    """Return the relative error of the prediction for each network, fitted to the others [N]."""
    errors = []
    for one in range(len(macs)):
        others = np.arange(len(macs)) != one
        errors.append(pj_per_mac(macs[others], energy_mj[others]) * MJ_PER_PJ * macs[one] / energy_mj[one] - 1)
    return np.array(errors)


def main() -> None:
    """Fit, and print."""
    macs, measured = macs_of_networks(), np.array(list(MEASURED.values()))
    energy_mj, power_mw = measured[:, 0] / 1000, measured[:, 0] * measured[:, 1] / 1000
    errors = left_out(macs, energy_mj)
    print(f"{'network':21} {'mJ':>7} {'M MACs':>11} {'pJ/MAC':>8} {'mW':>6}   left out")
    for name, mj, count, mw, error in zip(MEASURED, energy_mj, macs, power_mw, errors, strict=True):
        print(f"{name:21} {mj:7.3f} {count / 1e6:11.3f} {mj / count / MJ_PER_PJ:8.0f} {mw:6.0f} {100 * error:+9.1f} %")
    print(
        f"fit: {pj_per_mac(macs, energy_mj):.0f} pJ per MAC; largest error left out {100 * np.abs(errors).max():.1f} "
        f"%; mean power {power_mw.mean():.0f} mW"
    )


if __name__ == "__main__":
    main()
