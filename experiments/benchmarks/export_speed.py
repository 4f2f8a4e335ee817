"""Speed of exported networks, one thread, against the same network exported by timm through PyTorch to ONNX.

    PYTHONPATH=. python experiments/benchmarks/export_speed.py --python PYTHON_WITH_TIMM [--network mobilenetv4-conv-s]

PyTorch (torch.onnx.export, the network that timm builds from the timm export) runs in the Python that --python names;
ONNX Runtime and LiteRT are timed here, all in one process and in turns. Where a session happens to put its buffers
changes its speed by several percent, so every round loads all files anew, in another order; of a round the median run
counts, of all rounds the median. Prints the latency of each and its ratio to the faster of PyTorch's two files; exits 1
where a ratio is above 1.05.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter_ns

import numpy as np
import onnxruntime

from nas.export import onnx_file, tflite_file
from nas.export.tflite_graph import interpreter
from nas.export.timm_folder import contents
from nas.export.weights import difference
from nas.files import write_whole
from nas.nn.network import weight_shapes
from nas.runtimes.filling import random_pictures, random_tensor
from nas.zoo import reference

ALLOWED = 1.05  # what is left of the noise
WARM = 4  # runs after loading that do not count
TO_ONNX = """
import sys, torch
from build import build
model = build()
height, width, channels = map(int, sys.argv[2:])
torch.onnx.export(model, (torch.zeros(1, channels, height, width),), sys.argv[1],
                  dynamo=sys.argv[1].endswith("dynamo.onnx"), opset_version=18, input_names=["x"])
"""


def of_timm(folder: Path, python: str, shape: tuple[int, ...], way: str) -> bytes:
    """Return the ONNX file that PyTorch writes of the timm export in `folder`: by its tracer or by torch.export."""
    out = folder / f"{way}.onnx"
    command = [python, "-c", TO_ONNX, str(out), *map(str, shape)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"PyTorch did not write ONNX: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    import onnx

    return onnx.load(out).SerializeToString()  # with the weights that it may have written beside the file


def session_of(model: bytes, pictures: np.ndarray) -> Callable[[], list[np.ndarray]]:
    """Return what runs an ONNX file on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {session.get_inputs()[0].name: np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))}
    return lambda: session.run(None, feeds)


def median_ms(loads: dict[str, Callable[[], Callable[[], object]]], rounds: int, repeats: int) -> dict[str, float]:
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
    parser.add_argument("--python", default=sys.executable, help="Python with torch, timm and onnx (default: this one)")
    parser.add_argument("--network", default="mobilenetv4-conv-s")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    arch = reference(args.network)
    pictures, said = random_pictures(arch, 1), {"arch": arch.digest, "origin": "drawn for a benchmark"}
    weights = {name: random_tensor(name, shape) for name, shape in weight_shapes(arch).items()}
    with tempfile.TemporaryDirectory() as place:
        for file, content in contents(arch, weights, said).items():
            write_whole(Path(place, file), content)
        peers = {
            f"PyTorch, {way}": of_timm(Path(place), args.python, arch.input_shape, way) for way in ("trace", "dynamo")
        }
    files = peers | {"this package, onnx": onnx_file.FORMAT.bytes_of(arch, weights, said)}
    lite = tflite_file.FORMAT.bytes_of(arch, weights, said)
    outputs = [session_of(model, pictures)()[0] for model in files.values()]
    worst = max(difference(one, outputs[0])[1] for one in outputs)
    loads: dict[str, Callable[[], Callable[[], object]]] = {
        name: partial(session_of, model, pictures) for name, model in files.items()
    }
    loads["this package, tflite"] = lambda: interpreter(lite, pictures, 1).invoke
    found = median_ms(loads, args.rounds, args.repeats)
    peer = min(found[name] for name in peers)
    print(f"{args.network}, float32, 1 thread, batch 1; onnxruntime {onnxruntime.__version__}")
    print(f"largest relative difference of the ONNX files' logits {worst:.0e}")
    for name, latency in found.items():
        print(f"{name:24s} {latency:8.3f} ms, ratio to PyTorch's faster file {latency / peer:.3f}")
    sys.exit(any(found[name] > ALLOWED * peer for name in found if name not in peers))


if __name__ == "__main__":
    main()
