"""Study: where a network for spectrograms spends its energy and memory, and what bands as channels save.

Question: Speckhard et al. (arXiv 2202.05397) find that a two-dimensional spectrogram behind a convolution of many
filters is the bottleneck. Is it, and what does a network over time alone save, at what accuracy?
Command: nice -n 5 python -m experiments.audio_bottleneck [--measure]   (seconds; with --measure a minute)

Modelled: one second, 98 frames of 40 bands, for cortex-m7 in int8; the same three stages of inverted bottlenecks
(32, 48, 96 channels, expansion 2) behind a strided 3 x 3 stem of n filters on the map, or behind a convolution over
time with the bands as channels. Measured: median milliseconds of ONNX Runtime in float32, one thread, random weights,
networks in turns. Trained: the networks of experiments/data/audio_table, least energy and least memory of those that
reach a top-1 on unseen speakers, each network trained once.

Result (AMD EPYC with AVX-512, busy with other jobs):

network       M MACs  k params     mJ  stem+stage 1  peak KiB     peak at  host ms
2-D, stem 8     3.09      73.6   2.75           12%      23.4  2.0.expand    0.060
2-D, stem 16    3.70      74.8   3.29           26%      45.9  1.0.expand    0.055
2-D, stem 32    5.67      77.9   5.05           52%      91.9  1.0.expand    0.071
2-D, stem 64   12.63      87.3  11.24           78%     183.8  1.0.expand    0.127
1-D, stem 32    1.85      79.4   1.65           37%       9.2  1.0.expand    0.045
trained networks: 256 of audio-1d, 256 of audio-2d
top-1 from   1-D mJ   2-D mJ  2-D/1-D  1-D KiB  2-D KiB  2-D/1-D
70%         0.03214  0.05675     1.77   0.8789    1.504     1.71
75%         0.03214  0.08118     2.53   0.8789    2.031     2.31
80%         0.03214   0.1261     3.92   0.8789    2.734     3.11
85%          0.0755   0.1261     1.67    1.031    3.047     2.95

So it is: from 16 filters on the largest maps are those behind the stem, with 64 the stem and the first stage take 78 %
of the work, and the network 4 times the energy and 8 times the memory of one with 8 filters. With bands as channels it
needs 15 % of the energy of 64 filters, 60 % of that of 8, and 5 to 39 % of the memory. The alternative does not cost
accuracy here: the trained 1-D networks reach every level that the 2-D ones reach, at 1.7 to 3.9 times less energy.
"""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from experiments.audio_strategies import Table
from experiments.audio_table import SPACES_OF_TABLE, trainings
from experiments.benchmarks.timing import interleaved, print_table
from latency_models.target import load_target
from nas.arch import ArchSpec
from nas.measure.onnx_runtime import loaded
from nas.ops import UIB, Conv, Head, Op, Shape

FILTERS = (8, 16, 32, 64)  # of the stem on the map
STAGES = ((32, 1), (48, 2), (96, 2))  # channels, blocks
TARGET = "cortex-m7"
LEVELS = (0.70, 0.75, 0.80, 0.85)  # top-1 on unseen speakers
ROUNDS = 30


def body(channels: int, kernel_size: int) -> Iterator[tuple[Op, ...]]:
    """Yield the three stages of inverted bottlenecks behind a map of so many channels."""
    for out, blocks in STAGES:
        first = UIB(out, 2 * channels, 0, kernel_size, 2)
        yield (first, *(UIB(out, 2 * out, 0, kernel_size, residual=True),) * (blocks - 1))
        channels = out


def on_map(filters: int) -> ArchSpec:
    """Return the network on the map of frames x bands with so many filters in its stem."""
    stages = ((Conv(filters, 3, 2),), *body(filters, 3))
    return ArchSpec(Shape(98, 40, 1), stages, Head(), 12, name=f"2-D, stem {filters}")


def over_time() -> ArchSpec:
    """Return the network with the bands as channels, windows over time."""
    stages = ((Conv(32, 3),), *body(32, 5))
    return ArchSpec(Shape(98, 1, 40), stages, Head(), 12, name="1-D, stem 32")


def front_share(arch: ArchSpec) -> float:
    """Return the share of the MACs in stem and first stage."""
    front = sum(kernel.macs for kernel in arch.kernels if kernel.name.startswith(("0.", "1.")))
    return front / arch.macs


def modelled(archs: Sequence[ArchSpec], milliseconds: Sequence[float]) -> None:
    """Print the costs of the networks."""
    energy, rows = load_target(TARGET).energy_model(), []
    for number, arch in enumerate(archs):
        peak = max(arch.kernels, key=lambda kernel: kernel.live_elements)
        rows.append(
            [
                arch.name, f"{arch.macs / 1e6:.2f}", f"{arch.params / 1e3:.1f}", f"{energy.predict_mj(arch):.2f}",
                f"{front_share(arch):.0%}", f"{arch.peak_activation_elements / 1024:.1f}", peak.name,
                *([f"{milliseconds[number]:.3f}"] if milliseconds else []),
            ]
        )  # fmt: skip
    measured = ["host ms"] if milliseconds else []
    print_table(["network", "M MACs", "k params", "mJ", "stem+stage 1", "peak KiB", "peak at", *measured], rows)


def host_ms(archs: Sequence[ArchSpec]) -> list[float]:
    """Return the median milliseconds of the networks in ONNX Runtime, one thread, in turns."""
    timed = {arch.name: loaded(1, 1, arch) for arch in archs}
    functions: dict[str, Any] = {name: (lambda run=run: run(1)) for name, run in timed.items()}
    return [1e3 * timing.median_s for timing in interleaved(functions, ROUNDS).values()]


def trained() -> None:
    """Print the least energy and memory of the trained networks of each kind that reach a level of accuracy."""
    tables = {name: Table.of(name, trainings(), TARGET).objectives for name in SPACES_OF_TABLE}
    rows = []
    for level in LEVELS:
        cells = [f"{level:.0%}"]
        for cost in (1, 2):
            least = [values[1 - values[:, 0] >= level, cost].min(initial=np.inf) for values in tables.values()]
            cells += [f"{one:.4g}" if np.isfinite(one) else "none" for one in least]
            ratio = least[1] / least[0] if np.isfinite(least).all() else np.nan
            cells.append(f"{ratio:.2f}" if np.isfinite(ratio) else "")
        rows.append(cells)
    counts = ", ".join(f"{len(values)} of {name}" for name, values in tables.items())
    print(f"trained networks: {counts}")
    print_table(["top-1 from", "1-D mJ", "2-D mJ", "2-D/1-D", "1-D KiB", "2-D KiB", "2-D/1-D"], rows)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="also time the networks on this host")
    args = parser.parse_args()
    archs = [*map(on_map, FILTERS), over_time()]
    modelled(archs, host_ms(archs) if args.measure else [])
    trained()


if __name__ == "__main__":
    main()
