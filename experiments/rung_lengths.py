"""How long must a training be to say something about a longer one? Few images, so that an epoch has few steps.

    nas rank uib --target edgetpu --data digits --networks 12 --seeds 2 --epochs 12 --out RANKED
    python -m experiments.rung_lengths [RANKED/rank.csv]

The table is experiments/data/rung_lengths.csv unless another is given: of the first command, 8 steps an epoch. For each
epoch it prints the mean accuracy on validation images, how far apart networks and two trainings of one are (standard
deviations in points), and Kendall's tau of the accuracy after that epoch with the one that another seed ends with.

What came out: -.11 after 1 epoch, .20 after 3, .33 after 6, .44 after 8, .33 after 12 (12 networks: each about +-.4).
So the shortest training alone of a search has at least 48 steps (nas/supernet/presets.py). Whether searches find better
networks by it was not measured.
"""

import argparse
import csv
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.search.accuracy.evidence import kendall_tau

TABLE = Path(__file__).parent / "data" / "rung_lengths.csv"


def curves_in(path: Path) -> NDArray[np.float64]:
    """Return the accuracies [networks, seeds, epochs] in a table of `nas rank`."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [tuple(map(int, name.split("_")[1:])) for name in rows[0] if name.startswith("val_")]
    seeds, epochs = (1 + max(name[0] for name in names)), max(name[1] for name in names)
    found = [[[row[f"val_{seed}_{epoch + 1}"] for epoch in range(epochs)] for seed in range(seeds)] for row in rows]
    return np.array(found, np.float64)


def taus(curves: NDArray[np.float64]) -> list[float]:
    """Return Kendall's tau, for each epoch, of one seed's accuracy then with another's at the end: means of pairs."""
    pairs = list(permutations(range(curves.shape[1]), 2))
    return [
        float(np.mean([kendall_tau(curves[:, one, epoch], curves[:, other, -1]) for one, other in pairs]))
        for epoch in range(curves.shape[2])
    ]


def main() -> None:
    """Print a line for each epoch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", nargs="?", type=Path, default=TABLE)
    curves = curves_in(parser.parse_args().table)
    print(f"{len(curves)} networks, {curves.shape[1]} seeds")
    print("epoch  mean accuracy  networks  trainings  tau with another seed's end")
    for epoch, tau in enumerate(taus(curves)):
        now = curves[:, :, epoch]
        apart, noise = now.mean(1).std(ddof=1), np.sqrt(now.var(1, ddof=1).mean())
        print(f"{epoch + 1:5}  {now.mean():13.1%}  {100 * apart:8.2f}  {100 * noise:9.2f}  {tau:+.2f}")


if __name__ == "__main__":
    main()
