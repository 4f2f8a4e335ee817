"""Example of the Python API: search, predict, compare and export.

    python -m experiments.api_example [--run RUN] [--out FOLDER]   (4 minutes; with a finished RUN seconds)

Without --run, it first searches a network for an Edge TPU on the embedded digits, as `nas search` does by default. The
folder gets the page compare.html, the tables as CSV and JSON, plots, and the spec that was found.
"""

import argparse
from pathlib import Path

from nas import api

TARGETS = ("edgetpu", "pixel6-cpu", "rpi5", "s23-gpu", "cortex-m7", "titan-rtx")


def main(argv: list[str] | None = None) -> None:
    """Run the example and print what it finds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", help="a finished run, instead of a search")
    parser.add_argument("--out", default="runs/api-example")
    options = parser.parse_args(argv)
    out = Path(options.out)

    run = options.run or out / "run"
    if options.run is None:
        found = api.search(run, target="edgetpu", data="digits", preset="quick", seed=0)
        print(f"found: {found.latency:.3f} {found.latency_unit}, top-1 {found.accuracy.top1:.1%} of the proxy")

    costs = api.predict([run, "mobilenetv4-conv-s"], TARGETS)
    print(costs.pivot(index="network", columns="target", values="latency_ms").round(3))

    slowest = api.predict(run, "edgetpu", kernels=True).nlargest(5, "latency_ms")
    print(slowest[["name", "kind", "bound", "latency_ms", "share"]])

    compared = api.compare([run, "zoo"], TARGETS, out=out / "compared")
    print(compared.optimal[["name", "top1", "targets_on_front", "targets"]])

    for line in api.export(run, out / "found.json"):
        print(line)


if __name__ == "__main__":
    main()
