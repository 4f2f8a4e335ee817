"""Check every export format against the Flax network: MobileNetV4 Conv-S and Hybrid-M, random UIB specs; int8 too.

    python -m experiments.export_round_trip [--training FOLDER --data fashion-mnist --data-dir DIR]

Prints the largest absolute difference of the logits (of size 1) per network and format; it must be at
most 1e-4. With the folder of a nas train, also the top-1 of its int8 files on all test images, which must be within 1
point of float32. Exits 1 where one of both does not hold. timm is in experiments/timm_round_trip.py.

Result, in 2 minutes on 2 cores: Conv-S at most 1.1e-6, Hybrid-M 4.3e-5, five random UIB specs 1.6e-6, over
stablehlo, onnx, tflite and flax. int8 of a proxy of Conv-S (16 px, width 0.25, 2 epochs of Fashion-MNIST): 85.13 %
(onnx) and 85.15 % (tflite) against 85.19 % in float32.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from experiments.export_networks import networks, scaled_weights
from nas.arch import ArchSpec, load_arch, save_arch
from nas.data import load
from nas.errors import InvalidInput
from nas.export.calibration import build_calibration
from nas.export.flax import folder as flax_folder
from nas.export.onnx import file as onnx_file
from nas.export.onnx import int8_file as onnx_int8_file
from nas.export.options import DEFAULT
from nas.export.quantised_file import agreement
from nas.export.stablehlo import file as stablehlo_file
from nas.export.tflite import file as tflite_file
from nas.export.tflite import int8_file as tflite_int8_file
from nas.export.weights import difference, logits
from nas.files import write_whole
from nas.nn.network import load_weights, save_weights

MAX_DIFFERENCE, MAX_LOSS_POINTS = 1e-4, 1.0
FLOAT_FORMATS = {"stablehlo": stablehlo_file.FORMAT, "onnx": onnx_file.FORMAT, "tflite": tflite_file.FORMAT}
INT8_FORMATS = {"onnx": onnx_int8_file.FORMAT, "tflite": tflite_int8_file.FORMAT}
IMAGES = 2


def flax_logits(arch: ArchSpec, weights: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """Return the logits of the stand-alone Flax model, run by a Python without this package."""
    with tempfile.TemporaryDirectory() as folder:
        save_weights(Path(folder, "weights.safetensors"), weights, arch, "random")
        save_arch(arch, Path(folder, "arch.json"))
        write_whole(Path(folder, "model.py"), flax_folder.model_source(arch, {"origin": "random"}))
        return flax_folder.run_model(Path(folder), images)


def differences(arch: ArchSpec) -> dict[str, float]:
    """Return the largest absolute difference of the logits per format."""
    images = np.random.default_rng(0).normal(size=(IMAGES, *arch.input_shape)).astype(np.float32)
    weights = scaled_weights(arch, images)
    provenance = {"arch": arch.digest, "origin": "random, for a check"}
    expected = logits(arch, weights, images)
    found = {name: form.run(form.bytes_of(arch, weights, provenance), images) for name, form in FLOAT_FORMATS.items()}
    found["flax"] = flax_logits(arch, weights, images)
    return {name: difference(one, expected)[0] for name, one in found.items()}


def int8_points(folder: Path, data: str, data_dir: Path | None) -> list[tuple[str, float, float, float]]:
    """Return (format, top-1 in int8, top-1 in float32, agreement) of a trained network on all test images."""
    arch, dataset = load_arch(folder / "arch.json"), load(data, data_dir)
    weights, _ = load_weights(folder / "weights.safetensors", arch)
    calibration = build_calibration(arch, dataset, check_images=len(dataset.y_test))
    if calibration.check_labels is None:
        raise InvalidInput(f"{data} has other classes than {folder}; name the data that it was trained on")
    expected, rows = logits(arch, weights, calibration.check_images), []
    for name, form in INT8_FORMATS.items():
        content, _ = form.content(arch, lambda tensor, _: weights[tensor], {}, calibration, DEFAULT, None)
        found = form.run(content, calibration.check_images)
        top1 = [float((one.argmax(1) == calibration.check_labels).mean()) for one in (found, expected)]
        rows.append((name, top1[0], top1[1], agreement(found, expected)))
    return rows


def main() -> None:
    """Print a line per network and one per int8 file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--references", nargs="*", default=("mobilenetv4-conv-s", "mobilenetv4-hybrid-m"))
    parser.add_argument("--random", type=int, default=5, metavar="N", help="random UIB specs (default: 5)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resolution", type=int, help="of the references (default: their own)")
    parser.add_argument("--training", type=Path, help="folder of a nas train")
    parser.add_argument("--data", default="fashion-mnist", help="that it was trained on (default: fashion-mnist)")
    parser.add_argument("--data-dir", type=Path)
    args = parser.parse_args()
    worst = drop = 0.0
    for name, arch in networks(args.references, args.random, args.seed, args.resolution):
        found = differences(arch)
        worst = max(worst, *found.values())
        print(f"{name:22s}", "  ".join(f"{form} {gap:.1e}" for form, gap in found.items()), flush=True)
    print(f"largest difference of all {worst:.1e}, allowed {MAX_DIFFERENCE:.0e}")
    for name, quantised, floating, same in (
        int8_points(args.training, args.data, args.data_dir) if args.training else []
    ):
        drop = max(drop, 100 * (floating - quantised))
        print(f"{name} int8: top-1 {quantised:.2%} against {floating:.2%} in float32, same class on {same:.2%}")
    if args.training:
        print(f"largest loss {drop:.2f} points, allowed {MAX_LOSS_POINTS:.0f}")
    sys.exit(worst > MAX_DIFFERENCE or drop > MAX_LOSS_POINTS)


if __name__ == "__main__":
    main()
