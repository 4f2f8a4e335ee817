"""Study: at which ridge points is each MobileNetV4 on the front of accuracy against roofline latency?

Question: MobileNetV4 (arXiv 2404.10518v2, section 3, Fig. 2 and 3) says that its networks are mostly Pareto-optimal
whatever the ridge point, since cheap early layers pay at low ridge points and few weights late at high ones. Does that
follow from Eq. 1 and our own lowering of the networks, one byte per element, ridge points from 0 to 500 MACs/byte?
Command: python -m experiments.ridge_point_sweep --out DIR

Result:

Table 6, which trained the older networks again:
network                          top-1 %  on the front at ridge points
mobilenetv2@0.5                     66.0  never
mobilenetv3-large@0.5               69.2  0 to 35
mobileone-s0                        71.4  never
mobilenetv2                         73.4  never
mobilenetv4-conv-s                  73.8  0 to 500
mobilenetv1                         74.0  0 to 500
mobilenetv2@1.5                     76.8  0 to 45
mobilenet-multi-max                 77.9  0 to 500
mobilenet-multi-avg                 78.2  0 to 30
mobilenetv2@2                       78.4  never
mobileone-s4                        79.4  never
mobilenetv4-conv-m                  79.9  0 to 500
mobilenetv4-hybrid-m                80.7  0 to 500
mobilenetv4-conv-l                  82.9  0 to 500
mobilenetv4-hybrid-l                83.4  0 to 500

So all five MobileNetV4 are on the front at every ridge point from 0 to 500 (steps of 5), among the 15 of 25 networks
that our ops can build; the FastViT, EfficientViT, ConvNext and NextViT are not there to beat them. With the accuracies
of each network's own authors and 16 networks it is so too; EfficientNet-B0 is on that front up to 75, MobileNetV3-Large
up to 210, MobileNet-EdgeTPU (an 8-bit accuracy) from 85. Time per part (Conv-S): at ridge point 5 the first fifth
of its ops takes 32.5 %, the last fifth 16.3 %; at 500 17.9 and 39.9 %, its head alone 31.2 %. MobileNetV2's first fifth
grows instead, from 25.9 to 42.2 %: its wide early maps move bytes. 5 seconds.
"""

import argparse
from pathlib import Path

from experiments.target_fit_check import mobileone
from nas.compare.ridge_files import write_ridge_sweep
from nas.compare.ridge_sweep import (
    HIGH,
    LOW,
    SweptNetwork,
    front_ranges,
    op_costs,
    published_candidates,
    ranges_text,
    sweep,
)
from nas.files import new_folder
from nas.records.networks import PUBLISHED_KIND
from nas.zoo import BASELINES, ZOO, published_accuracies

MOBILEONE = {  # top-1 of Table 6; the squeeze-excite of S4 is left out
    "mobileone-s0": (mobileone((0.75, 1.0, 1.0, 2.0)), 0.714),
    "mobileone-s4": (mobileone((3.0, 3.5, 3.5, 4.0)), 0.794),
}


def table_6() -> list[SweptNetwork]:
    """Return the 15 networks of Table 6 that can be built, with its accuracies."""
    own = [one for one in published_accuracies() if one.series == "mobilenetv4-tab6"]
    names = [one.network if ZOO[one.network].width == one.width else f"{one.network}@{one.width:g}" for one in own]
    kind = PUBLISHED_KIND["mobilenetv4-tab6"]
    return [
        *published_candidates(names, "mobilenetv4-tab6"),
        *(SweptNetwork(name, arch, top1, kind) for name, (arch, top1) in MOBILEONE.items()),
    ]


def print_fronts(candidates: list[SweptNetwork]) -> None:
    """Print per network the ridge points at which it is on the front."""
    rows = sweep(candidates)
    print(f"\n{candidates[0].kind}\n{'network':32}{'top-1 %':>8}  on the front at ridge points")
    ranges = front_ranges(rows)
    for candidate in sorted(candidates, key=lambda one: one.top1):
        print(f"{candidate.name:32}{100 * candidate.top1:8.1f}  {ranges_text(ranges[candidate.name])}")


def print_op_costs(candidates: list[SweptNetwork]) -> None:
    """Print the share of the time in the first fifth of the ops, in the last fifth and in the costliest op."""
    costs = op_costs(candidates)
    print(f"\nshare of the time in %{'':10}{f'ridge point {LOW:g}':>24}{f'ridge point {HIGH:g}':>30}")
    print(f"{'network':32}" + f"{'first 1/5':>10}{'last 1/5':>10}{'largest':>10}" * 2)
    for name, own in costs.groupby("name", sort=False):
        line = f"{name:32}"
        for _, here in own.groupby("ridge_point"):
            shares = 100 * here["share"].to_numpy()
            fifth = -(-len(shares) // 5)
            line += f"{shares[:fifth].sum():10.1f}{shares[-fifth:].sum():10.1f}{shares.max():10.1f}"
        print(line)


def main() -> None:
    """Print the fronts of both series and the costs, and write tables and plots."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="new folder for the tables and plots")
    folder = new_folder(parser.parse_args().out)
    for name, candidates in {"table-6": table_6(), "authors": published_candidates(BASELINES)}.items():
        print_fronts(candidates)
        print_op_costs(candidates)
        for path in write_ridge_sweep(candidates, new_folder(folder / name)):
            print(f"wrote {path}")


if __name__ == "__main__":
    main()
