"""Study: rates of three targets from the few published latencies that tell compute from memory.

Question: coral-edgetpu and pixel3-cpu ranked networks by their MACs alone. Do published rows of networks with unlike
shares of depthwise convolutions and unlike maps tell the time of multiply-accumulates from that of moving maps?
Command: python -m experiments.published_rows   (2 seconds)

Result:

coral-edgetpu: floor 0.815 ms, 12.6 GB/s of maps, 944 GMACs/s
network                      ms   fit error   left out
mobilenetv1 0.25 128       0.90      -0.2 %    -55.7 %
mobilenetv1 1.0 224        2.17      +2.6 %     +4.0 %
mobilenetv2 1.0 224        2.29      -1.6 %     -6.7 %
inception v1 224           3.06      -1.0 %    -10.6 %
mean of the three with a larger or a smaller neighbour: 7.1 %

pixel3-cpu: 11.57 GMACs/s, 1.85 GB/s; left out: 4.8 % on average, 90 % within 13.0 %
pixel3-cpu-uint8: 16.70 GMACs/s, 0.59 GB/s; left out: 2.4 % on average, 90 % within 21.6 %

So they do: a floor and one rate through the two MobileNetV1 (0.87 ms, 437 GMACs/s) would be 40 % above Inception V1,
which has more MACs and smaller maps. Compute and memory add up on the Edge TPU (overlap = false). rpi4, rpi5 and x86
keep one rate: the published rows for them are of other runtimes, of several threads, or of other numbers.
"""

import numpy as np
from numpy.typing import NDArray

from experiments.measured import measured
from experiments.target_fit_check import left_out_ms
from latency_models.calibration.fit import relative_least_squares
from latency_models.calibration.validation import half_width
from latency_models.roofline import PER_MS, Roofline
from latency_models.workload import Workload
from nas.arch import ArchSpec
from nas.zoo import reference

Array = NDArray[np.float64]
CORAL = "google-coral/edgetpu benchmarks/reference/basic_engine_reference_x86_64.csv at 75e6756"
INCEPTION_BLOCKS = (  # side, input channels, and the widths of a block's branches: 1x1; 1x1, 3x3; 1x1, 3x3; pool 1x1
    (28, 192, 64, 96, 128, 16, 32, 32), (28, 256, 128, 128, 192, 32, 96, 64), (14, 480, 192, 96, 208, 16, 48, 64),
    (14, 512, 160, 112, 224, 24, 64, 64), (14, 512, 128, 128, 256, 24, 64, 64), (14, 512, 112, 144, 288, 32, 64, 64),
    (14, 528, 256, 160, 320, 32, 128, 128), (7, 832, 256, 160, 320, 32, 128, 128),
    (7, 832, 384, 192, 384, 48, 128, 128),
)  # fmt: skip
RIDGES = 400


def counts(arch: ArchSpec) -> tuple[float, float]:
    """Return the MACs of a network, and the elements that its kernels read and write, pools left out."""
    return float(arch.macs), float(sum(k.reads + k.writes for k in arch.kernels if k.kind != "pool"))


def inception_v1() -> tuple[float, float]:
    """Return the MACs and the elements of Inception V1 (arXiv 1409.4842, Tab. 1; 3x3 in place of 5x5, as in slim)."""
    macs, elements = 0, 0
    convolutions = [(224, 112, 3, 64, 7), (56, 56, 64, 64, 1), (56, 56, 64, 192, 3)]
    for side, channels, one, reduce3, three, reduce5, five, pooled in INCEPTION_BLOCKS:
        first = ((channels, one, 1), (channels, reduce3, 1), (channels, reduce5, 1), (channels, pooled, 1))
        shapes = (*first, (reduce3, three, 3), (reduce5, five, 3))
        convolutions += [(side, side, *shape) for shape in shapes]
    for side, out_side, channels, width, size in convolutions:
        macs += out_side**2 * channels * width * size**2
        elements += side**2 * channels + out_side**2 * width
    return macs + 1024 * 1001, elements + 1024 + 1001


def coral_rows() -> dict[str, tuple[tuple[float, float], float]]:
    """Return MACs, elements and ms of the networks that are published for the Coral USB accelerator."""
    return {
        "mobilenetv1 0.25 128": (counts(reference("mobilenetv1", width=0.25, resolution=128)), 0.9),
        "mobilenetv1 1.0 224": (counts(reference("mobilenetv1")), 2.17),
        "mobilenetv2 1.0 224": (counts(reference("mobilenetv2")), 2.29),
        "inception v1 224": (inception_v1(), 3.06),
    }


def coral_fit(columns: Array, measured_ms: Array) -> Array:
    """Return launch overhead, ms per byte and ms per MAC, by least squares of relative errors."""
    relative = columns / measured_ms[:, None]
    size = np.linalg.norm(relative, axis=0)
    return np.asarray(next(relative_least_squares(relative / size))[0] / size)


def print_coral() -> None:
    """Print the fit, its errors, and those of fits without each network."""
    rows = coral_rows()
    ms = np.array([row[1] for row in rows.values()])
    columns = np.array([[1.0, elements, macs] for (macs, elements), _ in rows.values()])
    floor, per_byte, per_mac = coral_fit(columns, ms)
    print(
        f"coral-edgetpu: floor {floor:.3f} ms, {1 / per_byte / PER_MS:.1f} GB/s of maps, "
        f"{1 / per_mac / PER_MS:.0f} GMACs/s"
    )
    print(f"{'network':24}{'ms':>7}{'fit error':>12}{'left out':>11}")
    left_out = []
    for i, name in enumerate(rows):
        seen = np.arange(len(ms)) != i
        left_out.append(float(columns[i] @ coral_fit(columns[seen], ms[seen])) / ms[i] - 1)
        fitted = float(columns[i] @ [floor, per_byte, per_mac]) / ms[i] - 1
        print(f"{name:24}{ms[i]:7.2f}{100 * fitted:+10.1f} %{100 * left_out[-1]:+9.1f} %")
    print(f"mean of the three with a larger or a smaller neighbour: {100 * np.mean(np.abs(left_out[1:])):.1f} %")


def print_pixel(device: str, width: float) -> None:
    """Print peak and bandwidth of one core of a phone, and the errors on networks left out."""
    data = measured(device)
    template = Roofline(device, 1, 1, bytes_per_weight=width, bytes_per_activation=width, free_kinds=("pool",))
    workload = Workload.of(data.specs, [1] * len(data.specs), template)
    ends = workload.ridges()
    tried = []
    for ridge in np.geomspace(ends[1], ends[-1], RIDGES):
        relative = workload.work(float(ridge)).sum(1)[:, None] / data.latency_ms[:, None]
        size = float(np.linalg.norm(relative))
        rate = next(relative_least_squares(relative / size))[0] / size
        tried.append((float(((relative @ rate - 1) ** 2).sum()), float(ridge), float(rate[0])))
    _, ridge, ms_per_mac = min(tried)
    peak = 1 / ms_per_mac / PER_MS
    predicted = left_out_ms(template, data.specs, data.latency_ms)
    mean = 100 * np.mean(np.abs(predicted / data.latency_ms - 1))
    within = 100 * half_width(predicted[None], data.latency_ms)
    print(
        f"\n{device}: {peak:.2f} GMACs/s, {peak / ridge:.2f} GB/s; left out: {mean:.1f} % on average, "
        f"90 % within {within:.1f} %"
    )
    for name, ms, other in zip(data.names, data.latency_ms, predicted, strict=True):
        print(f"{name:48}{ms:7.1f}{100 * (other / ms - 1):+9.1f} %")


if __name__ == "__main__":
    print_coral()
    print_pixel("pixel3-cpu", 4.0)
    print_pixel("pixel3-cpu-uint8", 1.0)
