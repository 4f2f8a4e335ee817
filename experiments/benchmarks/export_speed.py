"""Benchmark: speed of exported networks, one thread, against the same network exported by timm through PyTorch.

    python -m experiments.benchmarks.export_speed --python PYTHON_WITH_TIMM [--network mobilenetv4-conv-s]

PyTorch exports the network that timm builds from the timm export, in the Python that --python names: to ONNX by its
tracer and by torch.export, to TFLite by litert-torch, with the channels last as here. ONNX Runtime and LiteRT are timed
in this process, in turns. Where a session happens to put its buffers changes its speed by several percent, so every
round loads all files anew, in another order; of a round the median run counts, of all rounds the median. Prints the
latency of each and its ratio to PyTorch's fastest file of the same format; exits 1 where one is above 1.05.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter_ns

import numpy as np
import onnxruntime

from nas.export.onnx import file as onnx_file
from nas.export.tflite import file as tflite_file
from nas.export.tflite.graph import interpreter
from nas.export.timm.folder import contents
from nas.export.weights import difference
from nas.files import write_whole
from nas.measure.random_weights import random_images, random_tensor
from nas.nn.network import weight_shapes
from nas.zoo import reference

MAX_RATIO = 1.05  # above 1 for what noise remains
LITERT = "ai-edge-litert"
WARM = 4  # runs after loading that do not count
EXPORT = """
import sys, torch
from build import build
model, out = build().eval(), sys.argv[1]
height, width, channels = map(int, sys.argv[2:])
if out.endswith(".tflite"):
    import litert_torch
    images = (torch.zeros(1, height, width, channels),)
    litert_torch.convert(litert_torch.to_channel_last_io(model, args=[0]).eval(), images).export(out)
else:
    torch.onnx.export(model, (torch.zeros(1, channels, height, width),), out,
                      dynamo=out.endswith("dynamo.onnx"), opset_version=18, input_names=["x"])
"""


def of_timm(folder: Path, python: str, shape: tuple[int, ...], name: str) -> bytes:
    """Return the file `name` that PyTorch writes of the timm export in `folder`."""
    out = folder / name
    command = [python, "-c", EXPORT, str(out), *map(str, shape)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"PyTorch did not write {name}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    if out.suffix == ".tflite":
        return out.read_bytes()
    import onnx

    return onnx.load(out).SerializeToString()  # with the weights that it may have written beside the file


def loaded(name: str, model: bytes, images: np.ndarray) -> Callable[[], np.ndarray]:
    """Return what runs a file on one thread and returns the logits [1, classes]."""
    if name.endswith("tflite"):
        lite = interpreter(model, images, 1)
        place = lite.get_output_details()[0]["index"]

        def run() -> np.ndarray:
            lite.invoke()
            return np.asarray(lite.get_tensor(place))

        return run
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: np.ascontiguousarray(images.transpose(0, 3, 1, 2))}
    return lambda: np.asarray(session.run(None, inputs)[0])


def median_ms(loads: Mapping[str, Callable[[], Callable[[], object]]], rounds: int, repeats: int) -> dict[str, float]:
    """Return the median of all rounds per name; in a round each is loaded anew and runs `repeats` times."""
    medians: dict[str, list[float]] = {name: [] for name in loads}
    for number in range(rounds):
        for name in np.random.default_rng(number).permutation(list(loads)):
            run, times = loads[name](), []
            for turn in range(repeats + WARM):
                start = perf_counter_ns()
                run()
                if turn >= WARM:
                    times.append((perf_counter_ns() - start) / 1e6)
            medians[name].append(median(times))
    return {name: median(values) for name, values in medians.items()}


def main() -> None:
    """Print a line per file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--python", default=sys.executable, help="Python with torch, timm, onnx, litert-torch (default: this one)"
    )
    parser.add_argument("--network", default="mobilenetv4-conv-s")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    arch = reference(args.network)
    images, provenance = random_images(arch, 1), {"arch": arch.digest, "origin": "random, for a benchmark"}
    weights = {name: random_tensor(name, shape) for name, shape in weight_shapes(arch).items()}
    with tempfile.TemporaryDirectory() as place:
        for file, content in contents(arch, weights, provenance).items():
            write_whole(Path(place, file), content)
        files = {
            f"PyTorch, {name}": of_timm(Path(place), args.python, arch.input_shape, name)
            for name in ("trace.onnx", "dynamo.onnx", "litert-torch.tflite")
        }
    files["this package, onnx"] = onnx_file.FORMAT.bytes_of(arch, weights, provenance)
    files["this package, tflite"] = tflite_file.FORMAT.bytes_of(arch, weights, provenance)
    loads = {name: partial(loaded, name, model, images) for name, model in files.items()}
    logits = {name: load()() for name, load in loads.items()}
    worst = max(difference(one, logits["this package, onnx"])[1] for one in logits.values())
    found = median_ms(loads, args.rounds, args.repeats)
    print(f"{args.network}, float32, 1 thread, batch 1; onnxruntime {version('onnxruntime')}, LiteRT {version(LITERT)}")
    print(f"largest relative difference of the files' logits {worst:.0e}")
    slow = False
    for name, latency in found.items():
        peer = min(found[other] for other in found if other.startswith("PyTorch") and other[-4:] == name[-4:])
        print(f"{name:28s} {latency:8.3f} ms, ratio to PyTorch's fastest of this format {latency / peer:.3f}")
        slow |= name.startswith("this package") and latency > MAX_RATIO * peer
    sys.exit(slow)


if __name__ == "__main__":
    main()
