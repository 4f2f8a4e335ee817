"""Check the timm export against timm itself: MobileNetV4 Conv-S, Hybrid-M, other references and random UIB specs.

    python -m experiments.timm_round_trip --python PYTHON_WITH_TIMM

timm runs in the Python that --python names (pip install torch timm safetensors numpy), this package in the one that
runs the script. Prints the largest difference of the logits per network; exits 1 above 1e-4.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from experiments.export_networks import networks, scaled_weights
from nas.export.timm.folder import contents, run
from nas.export.weights import difference, logits
from nas.files import write_whole

MAX_DIFFERENCE = 1e-4
REFERENCES = ("mobilenetv4-conv-s", "mobilenetv4-hybrid-m", "mobilenetv1", "mobilenetv2", "mobilenetv3-small",
              "mnasnet-a1", "efficientnet-b0", "mobilenet-multi-avg")  # fmt: skip


def main() -> None:
    """Print a line per network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="Python with torch and timm (default: this one)")
    parser.add_argument("--references", nargs="*", default=REFERENCES, help="names of nas zoo")
    parser.add_argument("--random", type=int, default=5, metavar="N", help="random UIB specs (default: 5)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resolution", type=int, help="of the references (default: their own)")
    args = parser.parse_args()
    worst = 0.0
    for name, arch in networks(args.references, args.random, args.seed, args.resolution):
        images = np.random.default_rng(0).normal(size=(2, *arch.input_shape)).astype(np.float32)
        weights = scaled_weights(arch, images)
        provenance = {"arch": arch.digest, "origin": "random, for a check"}
        with tempfile.TemporaryDirectory() as folder:
            for file, content in contents(arch, weights, provenance).items():
                write_whole(Path(folder, file), content)
            absolute, relative = difference(run(Path(folder), images, args.python), logits(arch, weights, images))
        worst = max(worst, absolute)
        print(f"{name:24s} largest difference of the logits {absolute:.1e}, relative {relative:.1e}", flush=True)
    print(f"largest of all {worst:.1e}, allowed {MAX_DIFFERENCE:.0e}")
    sys.exit(worst > MAX_DIFFERENCE)


if __name__ == "__main__":
    main()
