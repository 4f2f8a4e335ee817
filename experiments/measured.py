"""The published measurements in experiments/data as architecture specs of this engine with their latencies.

Prints per device how many networks were measured, their range of latencies, and how well MACs alone rank them.
Command: python -m experiments.measured   (4 seconds)

The decoded specs are the networks that were measured, as far as counts can tell (tests/space/test_measured_spaces.py):

- Accel-NASBench: parameters equal the column `params_M` in all 1,500 rows, to its six digits. `macs_M` adds 4 per
  element of a normalised map and a pool's additions and divisions to the multiply-accumulates; so counted
  (`counted_macs`) all rows are equal.
- Once-for-all: the table has no counts. The width is 1.0 as its source says, though the authors of the measurements
  validate accuracies with width 1.2 (HayeonLee/HELP, validate_imagenet.py). Not settled.
- MobileNetV2: MACs equal the column, cut to millions; its parameters leave normalisation out. V3-Large, width 0.75 and
  minimalistic: MACs equal the column, rounded. V3-Small has 56.5 M MACs and 2.54 M parameters where the table prints
  66 and 2.9; 43.4 and 2.04 (44, 2.4) at width 0.75; 52.3 and 2.04 (65, 2.0) minimalistic. Not settled.
- EfficientFormer is left out: there is no builder of it. FD-MobileNet and MobileNetV1 have no times.

Result. MACs rank the Titan's batches of 64 images (.99), and hardly its single images (.29):

device                   n  batch       ms of a batch    millions of MACs  rho(MACs)
zcu102                1498      1       1.68 to 22.56     74.80 to 656.13      0.861
a100                  1500    128       4.25 to 28.99     74.80 to 656.13      0.856
titan-rtx-batch-1     1500      1        3.95 to 9.43     68.20 to 373.75      0.288
titan-rtx-batch-64    1500     64       9.97 to 50.49     68.20 to 373.75      0.994
pixel1-cpu              53      1      4.50 to 138.00     11.93 to 586.32      0.992
pixel2-cpu               6      1      15.10 to 61.00     43.40 to 216.59      0.943
pixel3-cpu               6      1      11.00 to 44.00     43.40 to 216.59      0.943
pixel1-cpu-uint8         3      1      15.50 to 44.00     56.51 to 216.59      1.000
pixel2-cpu-uint8         3      1      15.00 to 42.50     56.51 to 216.59      1.000
pixel3-cpu-uint8         3      1      10.70 to 32.00     56.51 to 216.59      1.000
pixel6-cpu              15      1       2.40 to 87.60    69.25 to 7711.88      0.993
s23-cpu                 13      1       1.80 to 61.80    69.25 to 7711.88      0.982
pixel4-dsp              13      1       2.40 to 20.80    69.25 to 6376.22      0.919
pixel8-edgetpu          15      1        0.70 to 3.80    69.25 to 7711.88      0.943
pixel7-gpu              15      1       8.30 to 61.30    69.25 to 7711.88      0.918
s23-gpu                 15      1       1.70 to 18.10    69.25 to 7711.88      0.942
iphone13-ane            11      1        0.45 to 3.00    69.25 to 6376.22      0.979
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.target_fit_check import COLUMNS, TABLE, fitted_networks, ranks, unseen_networks
from nas.arch import ArchSpec
from nas.errors import InvalidInput, unknown_name
from nas.ops import Shape
from nas.space.staged import StagedSpace
from nas.zoo import reference
from search_spaces.mbconv_imagenet import SPACE as MBCONV
from search_spaces.mbconv_imagenet import WIDTHS
from search_spaces.ofa_mbv3 import SPACE as OFA
from search_spaces.ofa_mbv3 import STAGES

DATA = TABLE.parent
MBCONV_TABLE = DATA / "mbconv_imagenet_random_zcu102_a100.csv"
OFA_TABLE = DATA / "ofa_mbv3_titan_rtx.csv"
PIXEL_TABLE = DATA / "pixel_cpu_published.csv"
Row = Mapping[str, str]
NORMALISED = ("conv", "expand", "depthwise", "project")  # kernels of MBConv networks that a normalisation follows
A100_BATCH = 128
TABLE6_FAMILIES = ("MobileNet-V1", "MobileNet-V2", "MobileNet-V3", "MobileOne", "MultiHardware", "MNv4")


@dataclass(frozen=True)
class Measured:
    """N networks on one device: their specs and names, and the milliseconds [N] of one batch of `batch` images."""

    specs: tuple[ArchSpec, ...]
    names: tuple[str, ...]
    latency_ms: NDArray[np.float64]
    batch: int


def rows_of(path: Path) -> list[Row]:
    """Return the rows of a table."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def mbconv_spec(row: Row) -> ArchSpec:
    """Return the network in a row of the Accel-NASBench table."""
    values: dict[str, int | bool] = {}
    for s in range(len(WIDTHS)):
        for letter, name in (("l", "depth"), ("k", "kernel"), ("e", "expansion")):
            values[f"stage{s}.{name}"] = int(row[f"block{s}_{letter}"])
        values[f"stage{s}.excited"] = row[f"block{s}_se"] == "1"
    return MBCONV.decode(MBCONV.genotype_of(values))


@cache
def ofa_space(side: int) -> StagedSpace:
    """Return the once-for-all space for images of `side` pixels."""
    return OFA.with_input(side, OFA.input_shape.channels, OFA.num_classes)


def ofa_spec(row: Row) -> ArchSpec:
    """Return the network in a row of the once-for-all table."""
    deepest = OFA.options["stage0.depth"][-1]
    values: dict[str, int] = {}
    for s in range(len(STAGES)):
        values[f"stage{s}.depth"] = int(row[f"d{s}"])
        for i in range(deepest):
            values[f"stage{s}.block{i}.kernel"] = int(row[f"ks{s * deepest + i}"])
            values[f"stage{s}.block{i}.expansion"] = int(row[f"e{s * deepest + i}"])
    space = ofa_space(int(row["r"]))
    return space.decode(space.genotype_of(values))


FAMILIES: dict[str, Callable[[float], ArchSpec]] = {  # in the Pixel table -> the network of a width at 224 px
    "mobilenet_v2": lambda width: reference("mobilenetv2", width=width),
    "mobilenet_v3_large": lambda width: reference("mobilenetv3-large", width=width),
    "mobilenet_v3_small": lambda width: reference("mobilenetv3-small", width=width),
    "mobilenet_v3_large_minimalistic": lambda width: reference("mobilenetv3-large-minimalistic", width=width),
    "mobilenet_v3_small_minimalistic": lambda width: reference("mobilenetv3-small-minimalistic", width=width),
    "mnasnet_a1": lambda width: reference("mnasnet-a1", width=width),
}


def pixel_spec(row: Row) -> ArchSpec:
    """Return the network in a row of the Pixel table whose model is one of `FAMILIES`, all its strides kept."""
    side = int(row["resolution"])
    return replace(FAMILIES[row["model"]](float(row["width"])), input_shape=Shape(side, side, 3))


SPACES: dict[str, Callable[[Row], ArchSpec]] = {MBCONV.name: mbconv_spec, OFA.name: ofa_spec}


@cache
def all_specs(path: Path, space: str) -> tuple[ArchSpec, ...]:
    """Return the networks of a large table in the order of its rows."""
    return tuple(SPACES[space](row) for row in rows_of(path))


def from_table(path: Path, space: str, column: str, *, batch: int = 1, invert: bool = False) -> Measured:
    """Return a column of a table with the networks of `space`, rows without a value left out.

    The column holds milliseconds of a batch or, with `invert`, images per second. The table has the columns of one here
    that is of the same space; a network's name is its `id`, or the number of its row. Raises `InvalidInput` where
    there is no such column.
    """
    rows = rows_of(path)
    if not rows or column not in rows[0]:
        raise InvalidInput(f"{path} has no column '{column}'; it has {', '.join(rows[0]) if rows else 'no rows'}")
    known = [i for i, row in enumerate(rows) if row[column]]
    values = np.array([float(rows[i][column]) for i in known])
    specs = all_specs(path, space)
    return Measured(
        tuple(specs[i] for i in known),
        tuple(rows[i].get("id", str(i)) for i in known),
        1000 * batch / values if invert else values,
        batch,
    )


def family_of(name: str) -> str:
    """Return the family of a network in Table 6: "MobileNet-V2" of MobileNet-V2-0.5x, "MNv4" of MNv4-Hybrid-M."""
    return next(family for family in TABLE6_FAMILIES if name.startswith(family))


def from_pixel(device: str, precision: str) -> Measured:
    """Return the MobileNets of one phone's big core in the Pixel table."""
    device_key = (device, precision)
    rows = [
        row
        for row in rows_of(PIXEL_TABLE)
        if (row["device"], row["precision"]) == device_key and row["model"] in FAMILIES
    ]
    names = tuple(f"{row['model']} {row['width']} {row['resolution']}" for row in rows)
    latency = np.array([float(row["latency_ms"]) for row in rows])
    return Measured(tuple(pixel_spec(row) for row in rows), names, latency, 1)


def from_table6(column: str) -> Measured:
    """Return a column of MobileNetV4's Table 6, of the networks that there are specs of."""
    networks = fitted_networks() | unseen_networks()
    latency = {row["model"]: float(row[column]) for row in rows_of(TABLE) if row[column] and row["model"] in networks}
    specs = tuple(networks[name] for name in latency)
    return Measured(specs, tuple(latency), np.array(list(latency.values())), 1)


DEVICES: dict[str, Callable[[], Measured]] = {
    "zcu102": partial(from_table, MBCONV_TABLE, MBCONV.name, "latency_zcu102_ms"),
    "a100": partial(from_table, MBCONV_TABLE, MBCONV.name, "throughput_a100_img_per_s", batch=A100_BATCH, invert=True),
    "titan-rtx-batch-1": partial(from_table, OFA_TABLE, OFA.name, "titan_rtx_1"),
    "titan-rtx-batch-64": partial(from_table, OFA_TABLE, OFA.name, "titan_rtx_64", batch=64),
    **{f"pixel{n}-cpu": partial(from_pixel, f"pixel{n}_big_core_cpu", "float32") for n in (1, 2, 3)},
    **{f"pixel{n}-cpu-uint8": partial(from_pixel, f"pixel{n}_big_core_cpu", "uint8") for n in (1, 2, 3)},
    **{name: partial(from_table6, column) for name, column in COLUMNS.items()},
}


def measured(device: str) -> Measured:
    """Return the networks measured on `device`; `UnknownName` where it is none of `DEVICES`."""
    if device not in DEVICES:
        raise unknown_name("measured device", device, DEVICES)
    return DEVICES[device]()


def counted_macs(arch: ArchSpec) -> int:
    """Return MACs as the Accel-NASBench column counts: plus 4 per normalised element, and the operations of a pool."""
    total = arch.macs
    for kernel in arch.kernels:
        if kernel.kind == "pool":
            total += kernel.reads + kernel.writes
        elif kernel.name.rpartition(".")[2] in NORMALISED:
            total += 4 * kernel.out_shape.elements
    return total


def main() -> None:
    """Print per device the number of networks, their latencies and how well MACs alone rank them."""
    print(f"{'device':20}{'n':>6}{'batch':>7}{'ms of a batch':>20}{'millions of MACs':>20}{'rho(MACs)':>11}")
    for device in DEVICES:
        data = measured(device)
        macs = np.array([spec.macs / 1e6 for spec in data.specs])
        spans = [f"{values.min():.2f} to {values.max():.2f}" for values in (data.latency_ms, macs)]
        rho = np.corrcoef(ranks(macs), ranks(data.latency_ms))[0, 1]
        print(f"{device:20}{len(macs):6}{data.batch:7}{spans[0]:>20}{spans[1]:>20}{rho:11.3f}")


if __name__ == "__main__":
    main()
