"""Export for PyTorch as a folder from which timm builds the network: network.json, model.safetensors, build.py.

It is written without torch; where torch and timm are installed, timm's network must give this package's logits.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.data.input_spec import Signature
from nas.errors import InvalidInput
from nas.export.card import model_card
from nas.export.folders import atomic_folder, check_new_folder
from nas.export.interface import Interface, check_signature, companions, input_metadata
from nas.export.packages import installed
from nas.export.provenance import metadata, unsupported_lines
from nas.export.timm.blocks import timm_network
from nas.export.weights import checked_weights, difference, fixed_images, logits, weights_messages
from nas.files import dump_json, write_whole

TOLERANCE = 1e-4  # largest max|y - y*| / max|y*|
CHECK_TIMEOUT_S = 600
INTERFACE = Interface("For timm: images [N, C, H, W] -> logits, float32", "timm", "NCHW")
LOADING = """
import sys; sys.path.insert(0, "{name}")
from build import build
model = build()  # torch.nn.Module; images float32 [N, C, H, W]
"""
METADATA_KEY = "nas.export"  # one key only: safetensors does not fix the order of several


def export(
    arch: ArchSpec, out: Path, *, weights: Mapping[str, Any] | None = None,
    provenance: Mapping[str, str] | None = None, signature: Signature | None = None,
) -> list[str]:  # fmt: skip
    """Write the folder `out`, which must not exist or be empty, and return lines to print; see nas.export.flax.folder.

    `InvalidInput` where timm has no block for an op, weights do not fit or logits differ; then nothing is written.
    """
    check_signature(signature, arch)
    weights, known = checked_weights(arch, weights, provenance)
    check_new_folder(out)
    beside = companions(signature, INTERFACE)
    files = contents(arch, weights, known, signature)
    with atomic_folder(out) as folder:
        for name, one in files.items():
            write_whole(folder / name, one)
        check = _check(arch, weights, folder)
        text = model_card(
            out.name, arch, known,
            interface=INTERFACE, signature=signature, checks=[check], loading=LOADING.format(name=out.name),
        )  # fmt: skip
        write_whole(folder / "README.md", text)
        for name, content in beside.items():
            write_whole(folder / name, content)
    return [
        f"wrote {out}: {', '.join((*files, *beside))}, README.md ({arch.params:,} parameters)",
        *weights_messages(known),
        *unsupported_lines(arch),
        check,
    ]


def contents(
    arch: ArchSpec, weights: Mapping[str, Any], provenance: Mapping[str, str], signature: Signature | None = None
) -> dict[str, bytes | str]:
    """Return all files but the card, name -> content; the same weights give the same bytes."""
    network = timm_network(arch, lambda name, _: np.asarray(weights[name]))
    described = metadata(arch, provenance, "safetensors") | input_metadata(signature, INTERFACE)
    stored = {METADATA_KEY: json.dumps(described, sort_keys=True)}
    return {
        "network.json": dump_json(network.to_dict() | {"input_size": list(arch.input_shape), "metadata": described}),
        "model.safetensors": safetensors.numpy.save(network.tensors, stored),
        "build.py": package_files("nas.export.timm").joinpath("build.py").read_text(),
    }


def _check(arch: ArchSpec, weights: Mapping[str, Any], folder: Path) -> str:
    """Return a line with the result of the check; `InvalidInput` where the logits differ."""
    if not (installed("torch") and installed("timm")):
        return "not verified: torch and timm are not installed; with them, this export would be run"
    images = fixed_images(arch)
    absolute, relative = difference(run(folder, images), logits(arch, weights, images))
    if not relative <= TOLERANCE:
        raise InvalidInput(f"timm's network differs by {relative:.1e} from this one; nothing was written")
    return f"checked in timm: largest difference of the logits {absolute:.1e}, relative {relative:.1e}"


def run(folder: Path, images: NDArray[np.float32], python: str = sys.executable) -> NDArray[np.float32]:
    """Return the logits [N, classes] of timm's network in `folder`, run by `python`; `InvalidInput` where it fails."""
    with tempfile.TemporaryDirectory() as temporary:
        images_file, logits_file = Path(temporary, "images.npy"), Path(temporary, "logits.npy")
        np.save(images_file, images)
        command = [python, "-B", str(folder.resolve() / "build.py"), str(images_file), str(logits_file)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise InvalidInput(f"timm's network took over {CHECK_TIMEOUT_S} s; nothing was written") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise InvalidInput(f"timm does not build this network: {last}; nothing was written")
        found: NDArray[np.float32] = np.load(logits_file, allow_pickle=False)
    return found
