"""The program of predict.py: from the paths of images, or of arrays, to classes, labels or numbers."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from nas.data.framing import read_image
from nas.data.input_spec import Framing
from nas.data.waveform import FULL_SCALE, placed, read_wave
from nas.export.predict.framing import InvalidInput
from nas.export.predict.onnx_model import open_model

MODEL = "model"  # beside this file


def as_input(path: Path, about: dict[str, str]) -> Any:
    """Return the image or the array in `path` as the input of a model with the metadata `about`: a batch of one."""
    spec = json.loads(about["signature.json"])["input"]
    mean, std = np.array(spec["mean"], np.float32), np.array(spec["std"], np.float32)
    if spec.get("values") == "waveform":
        samples, _ = read_wave(path, spec["sample_rate"])
        images = (placed(samples, spec["height"]).astype(np.float32) / np.float32(FULL_SCALE))[None, :, None, None]
    elif spec.get("values") == "numbers":
        images = (read_array(path, (spec["height"], spec["width"], spec["channels"]))[None] - mean) / std
    else:
        size = spec["height"], spec["width"]
        pixels = read_image(path, size, spec["channels"], Framing(spec["fit"], spec["background"]))[None]
        if about["input.dtype"] == "uint8":
            return pixels
        images = ((pixels.astype(np.float32) / np.float32(255) - mean) / std).astype(np.float32)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if about["input.layout"] == "NCHW" else images


def read_array(path: Path, shape: tuple[int, int, int]) -> Any:
    """Return the map [H, W, C] or [H, W], or the sequence [T, C] or [T], in the .npy file `path` as float32 of `shape`.

    One of another height or width is resized, as data of the training are.
    """
    try:
        found = np.load(path, allow_pickle=False)
        fits = isinstance(found, np.ndarray) and found.dtype.kind in "iuf" and np.isfinite(found).all()
    except Exception as error:  # numpy fails on broken bytes in any way, and each means the same to the user
        raise InvalidInput(f"cannot read the array {path}: {error}; save it with numpy.save") from error
    what = f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else "several arrays"
    if fits and shape[1] == 1 and found.ndim < 3:
        found = found.reshape(len(found), 1, -1) if found.ndim else found
    elif fits and found.ndim == 2:
        found = found[..., None]
    if not fits or found.ndim != 3 or found.shape[2] != shape[2] or (found.shape[1] == 1) != (shape[1] == 1):
        raise InvalidInput(f"{path} must hold finite numbers of the shape {list(shape)}, got {what}")
    rows, columns = (resizing(before, after) for before, after in zip(found.shape[:2], shape[:2], strict=True))
    return np.einsum("hH,wW,HWc->hwc", rows, columns, found.astype(np.float64), optimize=True).astype(np.float32)


def resizing(before: int, after: int) -> Any:
    """Return the matrix [after, before] that resizes an axis: linear, antialiased, as jax.image.resize."""
    step = before / after
    centres = (np.arange(after) + 0.5) * step - 0.5
    weights = np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(before)) / max(step, 1))
    return weights / weights.sum(1, keepdims=True)


def main() -> None:
    """Print a line for each image or array that the command line names."""
    parser = argparse.ArgumentParser(description="Predict by the network for images, for .npy or for .wav files.")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="JPEG, PNG, WebP, TIFF, GIF, BMP or PPM")
    parser.add_argument("--json", action="store_true", help="print an object per image, with all outputs")
    args = parser.parse_args()
    about, logits_of = open_model(Path(__file__).resolve().with_name(MODEL))
    names = json.loads(about["class_names"])
    task = json.loads(about["signature.json"]).get("task", {})
    for path in args.images:
        outputs = np.asarray(logits_of(as_input(path, about)), np.float64)[0]
        if task.get("standardised"):
            outputs = outputs * np.array(task["std"]) + np.array(task["mean"])
        found, text = ANSWERS[task.get("outputs", "classes")](names, outputs)
        print(json.dumps({"image": str(path), **found}) if args.json else f"{path}: {text}")


def of_classes(names: list[str], logits: Any) -> tuple[dict[str, Any], str]:
    """Return the class of the largest of the logits [K] with its probability, as an object and as text."""
    shares = np.exp(logits - logits.max())
    best, share = int(logits.argmax()), float(shares.max() / shares.sum())
    return {"class": names[best], "probability": share, "logits": logits.tolist()}, f"{names[best]} {share:.1%}"


def of_labels(names: list[str], logits: Any) -> tuple[dict[str, Any], str]:
    """Return the labels of a probability above one half, all with their probabilities, as an object and as text."""
    shares = dict(zip(names, (1 / (1 + np.exp(-logits))).tolist(), strict=True))
    there = [name for name, logit in zip(names, logits.tolist(), strict=True) if logit > 0]
    text = ", ".join(f"{name} {shares[name]:.1%}" for name in there) or "none of the labels"
    return {"labels": there, "probabilities": shares, "logits": logits.tolist()}, text


def of_numbers(names: list[str], values: Any) -> tuple[dict[str, Any], str]:
    """Return the numbers [K] by the names of the targets, as an object and as text."""
    found = dict(zip(names, values.tolist(), strict=True))
    return {"values": found}, ", ".join(f"{name} {value:.6g}" for name, value in found.items())


ANSWERS = {"classes": of_classes, "labels": of_labels, "numbers": of_numbers}


if __name__ == "__main__":
    main()
