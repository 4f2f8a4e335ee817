"""The program of predict.py: from the paths of images to class names and probabilities."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.framing import read_image
from nas.data.input_spec import Framing
from nas.export.predict.onnx_model import open_model

MODEL = "model"  # beside this file


def as_input(path: Path, about: dict[str, str]) -> Any:
    """Return the image in `path` as the input of a model with the metadata `about`: a batch of one."""
    spec = json.loads(about["signature.json"])["input"]
    pixels = read_image(path, spec["height"], spec["channels"], Framing(spec["fit"], spec["background"]))[None]
    if about["input.dtype"] == "uint8":
        return pixels
    mean, std = np.array(spec["mean"], np.float32), np.array(spec["std"], np.float32)
    images = ((pixels.astype(np.float32) / np.float32(255) - mean) / std).astype(np.float32)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if about["input.layout"] == "NCHW" else images


def main() -> None:
    """Print a line for each image that the command line names."""
    parser = argparse.ArgumentParser(description="Predict the class of images.")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="JPEG, PNG, WebP, TIFF, GIF, BMP or PPM")
    parser.add_argument("--json", action="store_true", help="print an object per image, with all logits")
    args = parser.parse_args()
    about, logits_of = open_model(Path(__file__).resolve().with_name(MODEL))
    names = json.loads(about["class_names"])
    for path in args.images:
        logits = np.asarray(logits_of(as_input(path, about)), np.float64)[0]
        shares = np.exp(logits - logits.max())
        best, share = int(logits.argmax()), float(shares.max() / shares.sum())
        if args.json:
            found = {"image": str(path), "class": names[best], "probability": share, "logits": logits.tolist()}
            print(json.dumps(found))
        else:
            print(f"{path}: {names[best]} {share:.1%}")


if __name__ == "__main__":
    main()
