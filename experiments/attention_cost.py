"""Study: what mobile multi-query attention costs on each target, by the cost model and by published measurements.

Questions: what one MQA behind a block of `uib-hybrid` adds to a network's predicted latency, and how that compares with
a UIB of as many MACs; MobileNetV4 (arXiv 2404.10518v2, App. G) says 12 times a UIB's time at equal MACs on an Edge TPU.
What the measured latencies of its hybrid networks (Tab. 6) leave for their eight MQA, and how many fit into the fine
search of a network whose filters and depths a coarse search has chosen for the same latency.

    python -m experiments.attention_cost

"equal MACs" is time per MAC over that of a UIB (IB k3, expansion 4) on the same map. The network is the coarse one of
the middle options: 417 MMACs, 128 channels at 14x14 px, 192 at 7x7. 5 seconds.

One MQA of the size of MobileNetV4's hybrid-M (4 heads of 64; keys at stride 2 at 14x14, at stride 1 at 7x7), predicted:

                        14x14 px                     7x7 px
    target            us    % of all  equal MACs   us    % of all  equal MACs
    pixel6-cpu       234.1    4.4        1.16       83.7    1.6        1.15
    s23-cpu          179.4    4.5        1.25       68.7    1.8        1.26
    pixel8-edgetpu     8.1    1.0        1.22        3.0    0.4        1.26
    pixel7-gpu       247.3    2.1        1.51      108.8    0.9        1.26
    s23-gpu          192.1    7.1        2.65      125.8    4.8        3.07
    rpi5            1206.0    4.4        1.05      456.7    1.7        1.03
    pixel4-dsp       not run there

Where attention pays its price: on all of these it is cheaper at 7x7. Smaller sizes have fewer MACs but up to 8.29 times
a UIB's time per MAC (4 heads of 32 at stride 2, 7x7, s23-gpu, whose model has a time per kernel).

What Tab. 6 leaves for one MQA, if the model is right about all else: measured less predicted, plus what was predicted
for the eight MQA, over eight (us; at equal MACs):

    target            hybrid-M                       hybrid-L
    pixel6-cpu        256 predicted, 352 left, 1.6   1441 predicted, 3105 left, 2.6
    s23-cpu           195, 320, 2.1                  1057, 2245, 2.7
    pixel8-edgetpu    8.8, 63.8, 9.0                 48.0, 143.6, 3.7
    pixel7-gpu        267, 238, 1.4                  1267, 2144, 3.2
    s23-gpu           188, 206, 3.0                  549, 546, 2.3

So the paper's 12 for the Edge TPU is nearly what its Tab. 6 says of hybrid-M (9.0 ± 0.9: times there are rounded to
0.1 ms), and the model, fitted on convolutional networks, has 1.2 to 1.5: it prices attention 7.3 times
too low in hybrid-M and 3.0 times in hybrid-L. A fixed extra time of 55 to 96 us per block explains both better than one
efficiency. A search there places attention too freely until the target says so; on both CPUs it is 1.4 to 2.2 times too
low, on the GPUs between right and 1.7 times too low.

A fine search at the latency that the coarse one has used up can still afford attention, by cheaper depthwise options:
at most 10 of 10 places with the smallest size, 7 to 8 with hybrid-M's at stride 2 on all of these targets, but 2 on
s23-gpu.
"""

import csv
from collections.abc import Iterator

import numpy as np

from experiments.target_fit_check import COLUMNS, TABLE
from latency_models.roofline import Roofline
from latency_models.target import load_target
from latency_models.unsupported import is_supported
from nas.arch import ArchSpec
from nas.ops import UIB, MobileMQA, Op, Shape
from nas.space.cost_table import compile_table
from nas.zoo import reference
from search_spaces.uib_hybrid import FIRST_WITH_ATTENTION, SPACE

TARGETS = (
    "pixel6-cpu", "s23-cpu", "pixel8-edgetpu", "pixel7-gpu", "s23-gpu", "rpi5", "iphone13-ane", "jetson-orin-nano",
    "pixel4-dsp",
)  # fmt: skip
SIZES = {  # the smallest of the space, those of MobileNetV4 hybrid-M in its two stages, the largest
    "4x32 s2": MobileMQA(4, 32, 32, 2),
    "4x64 s2": MobileMQA(4, 64, 64, 2),
    "4x64 s1": MobileMQA(4, 64, 64, 1),
    "8x64 s1": MobileMQA(8, 64, 64, 1),
}
HYBRIDS = {"MNv4-Hybrid-M": ("mobilenetv4-hybrid-m", 256), "MNv4-Hybrid-L": ("mobilenetv4-hybrid-l", 384)}


def middle() -> ArchSpec:
    """Return the coarse network of `uib-hybrid` with the middle option of every decision."""
    space = SPACE.coarse()
    return space.decode(tuple(len(decision.options) // 2 for decision in space.decisions))


def op_ms(model: Roofline, op: Op, shape: Shape) -> float:
    """Return the predicted time of an op on its input, without the launch overhead of the network."""
    return sum(model.of_kernel(kernel) for kernel in op.lower(shape))


def macs_of(op: Op, shape: Shape) -> int:
    """Return the MACs of an op on its input."""
    return sum(kernel.macs for kernel in op.lower(shape))


def ib(channels: int) -> UIB:
    """Return the inverted bottleneck k3 of expansion 4 on so many channels."""
    return UIB(channels, 4 * channels, 0, 3, residual=True)


def at_equal_macs(model: Roofline, op: Op, shape: Shape) -> float:
    """Return the time per MAC of `op` over that of an inverted bottleneck on the same map."""
    block = ib(shape.channels)
    return op_ms(model, op, shape) / macs_of(op, shape) * macs_of(block, shape) / op_ms(model, block, shape)


def ops_with_inputs(arch: ArchSpec) -> Iterator[tuple[Op, Shape]]:
    """Yield the ops of a network with the shapes of their inputs."""
    shape = arch.input_shape
    for stage in arch.stages:
        for op in stage:
            yield op, shape
            shape = op.out_shape(shape)


def stage_maps(arch: ArchSpec) -> list[Shape]:
    """Return the maps behind the stages of a network of `uib-hybrid` that may have attention."""
    first = 1 + FIRST_WITH_ATTENTION  # stages of the spec: stem and fused block, then stage 0 and on
    maps, shape = [], arch.input_shape
    for stage in arch.stages[:-1]:
        for op in stage:
            shape = op.out_shape(shape)
        maps.append(shape)
    return maps[first:]


def print_prices(arch: ArchSpec) -> None:
    """Print per target and stage what one MQA takes, as a share of the network with it, and at equal MACs."""
    maps = stage_maps(arch)
    for shape in maps:
        print(f"\none MQA on {shape.height}x{shape.width}x{shape.channels}: us, % of the network with it, equal MACs")
        print(f"{'target':17}" + "".join(f"{size:>21}" for size in SIZES))
        for name in TARGETS:
            target, model = load_target(name), load_target(name).model()
            if not is_supported(target, SIZES["4x64 s1"]):
                print(f"{name:17}  not run there")
                continue
            whole, line = model.predict_ms(arch), f"{name:17}"
            for op in SIZES.values():
                ms = op_ms(model, op, shape)
                line += f"{1e3 * ms:9.1f}{100 * ms / (whole + ms):6.1f}{at_equal_macs(model, op, shape):6.2f}"
            print(line)


def print_measured() -> None:
    """Print what the measured latencies of the hybrids leave for one of their MQA, at equal MACs."""
    with TABLE.open(newline="") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    heads = f"{'network':>15}{'measured':>10}{'predicted':>10}{'MQA us':>8}{'left us':>9}{'equal MACs':>12}"
    print(f"\n{'Tab. 6, ms':17}{heads}")
    for name, column in COLUMNS.items():
        model = load_target(name).model()
        for hybrid, (network, resolution) in HYBRIDS.items():
            if not rows[hybrid][column]:
                continue
            arch = reference(network, resolution=resolution)
            attention = [(op, shape) for op, shape in ops_with_inputs(arch) if isinstance(op, MobileMQA)]
            predicted, measured = model.predict_ms(arch), float(rows[hybrid][column])
            ours = sum(op_ms(model, op, shape) for op, shape in attention)
            left = measured - predicted + ours
            blocks = sum(op_ms(model, ib(s.channels), s) for _, s in attention)
            per_mac = blocks / sum(macs_of(ib(s.channels), s) for _, s in attention)
            ratio = left / sum(macs_of(op, shape) for op, shape in attention) / per_mac
            count = len(attention)
            print(f"{name:17}{hybrid:>15}{measured:10.2f}{predicted:10.2f}{1e3 * ours / count:8.1f}"
                  f"{1e3 * left / count:9.1f}{ratio:12.1f}")  # fmt: skip


def print_fitting(arch: ArchSpec) -> None:
    """Print how many MQA of the smallest and of hybrid-M's size fit at the network's own latency, by cheaper blocks."""
    fine = SPACE.fine(arch)
    places = [f"{d.place}.attention" for d in fine.decisions if d.name.endswith(".attention")]
    print(f"\nMQA that fit into the fine search at the coarse network's latency, of {len(places)} places")
    print(f"{'target':17}{'ms':>9}{'without':>9}" + "".join(f"{size:>9}" for size in SIZES))
    maps = stage_maps(arch)
    stages = [int(place.removeprefix("stage").split(".")[0]) for place in places]
    for name in TARGETS:
        target, model = load_target(name), load_target(name).model()
        if not is_supported(target, SIZES["4x64 s1"]):
            continue
        budget, least = model.predict_ms(arch), float(compile_table(fine, model).minimum()[0])
        line = f"{name:17}{budget:9.3f}{least:9.3f}"
        for op in SIZES.values():
            prices = np.cumsum(sorted(op_ms(model, op, maps[n - FIRST_WITH_ATTENTION]) for n in stages))
            line += f"{int((least + prices <= budget).sum()):9}"
        print(line)


def main() -> None:
    """Print all tables."""
    arch = middle()
    print(f"the network: {arch.macs / 1e6:.0f} MMACs, {arch.params / 1e6:.1f} M parameters")
    print_prices(arch)
    print_measured()
    print_fitting(arch)


if __name__ == "__main__":
    main()
