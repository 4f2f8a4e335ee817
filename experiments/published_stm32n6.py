"""Study: the STM32N6 and its accelerator, from the inference times that ST publishes.

Question: the 300 MACs a cycle of the data sheet are no bound that its latencies come near. Do two rates, one of weights
and one of maps, predict networks that a fit has not seen? Command: python -m experiments.published_stm32n6   (a second)

The times are those of STMicroelectronics/stm32ai-modelzoo at 7f3764d, image_classification/*_pt/README.md: board
STM32N6570-DK, ST Edge AI Core 3.0.0, int8, 224 px, 1,000 classes. Weights come from flash outside of the chip over a
bus of one byte, maps lie in RAM on the chip, whose banks move eight bytes a cycle (memory pools of ST's projects). MACs
take no time beside them: a third rate for them comes out infinite. The file of the target says it as a bandwidth, that
of the weights, and as a share of the maps' bytes that needs none of it.

Result:

weights 0.329 GB/s, maps 1.77 GB/s: on_chip_share 0.815
network                   ms    fit error    left out
mobilenetv1@0.25        2.98       -2.0 %      -2.7 %
mobilenetv1@0.5         6.55       +6.1 %      +6.9 %
mobilenetv1@0.75       11.73       +3.8 %      +4.1 %
mobilenetv2@0.25        6.50      +13.0 %     +14.5 %
mobilenetv2@0.35        8.58       -0.7 %      -0.8 %
mobilenetv2@0.5        10.08       +2.5 %      +2.8 %
mobilenetv2@0.75       15.17       -1.5 %      -1.8 %
mobilenetv2            20.35       -8.8 %      -9.8 %
mobilenetv4-conv-s     13.74       +1.3 %      +2.0 %
fd-mobilenet@0.25       1.88      -11.1 %     -12.0 %
fd-mobilenet@0.5        4.07       -2.8 %      -3.5 %
fd-mobilenet@0.75       6.83       +1.5 %      +2.1 %
mnasnet-b1@0.5         11.21       -6.0 %      -6.5 %
left out: 5.4 % on average, 90 % within 13.6 %
with squeeze-excite, not in the fit:
mnasnet-a1             37.63      -46.3 %
"""

import numpy as np
from numpy.typing import NDArray

from latency_models.calibration.fit import relative_least_squares
from latency_models.calibration.validation import half_width
from latency_models.roofline import PER_MS
from nas.arch import ArchSpec
from nas.zoo import reference

Array = NDArray[np.float64]
MEASURED_MS = {
    "mobilenetv1@0.25": 2.98,
    "mobilenetv1@0.5": 6.55,
    "mobilenetv1@0.75": 11.73,
    "mobilenetv2@0.25": 6.50,
    "mobilenetv2@0.35": 8.58,
    "mobilenetv2@0.5": 10.08,
    "mobilenetv2@0.75": 15.17,
    "mobilenetv2": 20.35,
    "mobilenetv4-conv-s": 13.74,
    "fd-mobilenet@0.25": 1.88,
    "fd-mobilenet@0.5": 4.07,
    "fd-mobilenet@0.75": 6.83,
    "mnasnet-b1@0.5": 11.21,
}
SQUEEZE_EXCITE_MS = {"mnasnet-a1": 37.63}  # not in the fit: what squeezes and excites runs on the Cortex-M55


def bytes_of(arch: ArchSpec) -> Array:
    """Return the bytes of the weights of a network, and of the maps that its kernels read and write [2]."""
    weights = sum(kernel.weights for kernel in arch.kernels)
    return np.array([weights, sum(kernel.reads + kernel.writes for kernel in arch.kernels)], np.float64)


def fit_rates(moved: Array, measured_ms: Array) -> Array:
    """Return the milliseconds per byte of weights and of maps [2], by least squares of relative errors."""
    relative = moved / measured_ms[:, None]
    size = np.linalg.norm(relative, axis=0)
    return np.asarray(next(relative_least_squares(relative / size))[0] / size)


def left_out_ms(moved: Array, measured_ms: Array) -> Array:
    """Return the latency [N] of each network by the rates that the others give."""
    rows = np.arange(len(measured_ms))
    return np.array([moved[i] @ fit_rates(moved[rows != i], measured_ms[rows != i]) for i in rows])


def main() -> None:
    """Print the rates, the errors of the fit, and those of fits without each network."""
    moved = np.array([bytes_of(reference(name)) for name in MEASURED_MS])
    measured_ms = np.array(list(MEASURED_MS.values()))
    rates, others = fit_rates(moved, measured_ms), left_out_ms(moved, measured_ms)
    weights, maps = 1 / rates / PER_MS
    print(f"weights {weights:.3f} GB/s, maps {maps:.2f} GB/s: on_chip_share {1 - weights / maps:.3f}")
    print(f"{'network':21}{'ms':>7}{'fit error':>13}{'left out':>12}")
    for name, row, ms, other in zip(MEASURED_MS, moved, measured_ms, others, strict=True):
        print(f"{name:21}{ms:7.2f}{100 * (row @ rates / ms - 1):+11.1f} %{100 * (other / ms - 1):+10.1f} %")
    mean = 100 * float(np.mean(np.abs(others / measured_ms - 1)))
    print(f"left out: {mean:.1f} % on average, 90 % within {100 * half_width(others[None], measured_ms):.1f} %")
    for name, ms in SQUEEZE_EXCITE_MS.items():
        error = bytes_of(reference(name)) @ rates / ms - 1
        print(f"with squeeze-excite, not in the fit:\n{name:21}{ms:7.2f}{100 * error:+11.1f} %")


if __name__ == "__main__":
    main()
