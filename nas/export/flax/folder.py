"""Export as a folder with a stand-alone Flax model: model.py, weights.safetensors and arch.json.

model.py needs jax, flax, numpy and safetensors, not this package. It consists of copies of the sources of
nas.nn.primitives, nas.nn.layers and the blocks that the network has (nas.ops.families says where they are), and of a
class `Model` that is generated for the one architecture.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec, save_arch
from nas.data.input_spec import InputSpec, Signature
from nas.errors import InvalidInput
from nas.export.card import model_card
from nas.export.flax.source import copied_sources
from nas.export.folders import atomic_folder, check_new_folder
from nas.export.interface import Interface, check_signature, companions, input_metadata
from nas.export.options import DEFAULT, FileOptions
from nas.export.predict.script import predict_script
from nas.export.provenance import metadata, unsupported_lines
from nas.export.weights import check_images, checked_weights, difference, logits, weights_messages
from nas.files import write_whole
from nas.nn.network import save_weights
from nas.ops import family_of

TOLERANCE = 1e-5  # largest max|y - y*| / max|y*| between the written model and the network of this package
PACKAGES = ("nas", "latency_models", "search_spaces")  # blocked while the written model is checked
HEAD_BLOCK = "nas.nn.blocks.head:HeadBlock"
CHECK_TIMEOUT_S = 600
INTERFACE = Interface("A stand-alone Flax model: images [N, H, W, C] -> logits, float32", "flax")
LOADING = """
import sys; sys.path.insert(0, "{name}")
from model import load
model = load("{name}/weights.safetensors")
logits = model(images)  # {images}
"""


def export(
    arch: ArchSpec, out: Path, *, weights: Mapping[str, Any] | None = None,
    provenance: Mapping[str, str] | None = None, signature: Signature | None = None, options: FileOptions = DEFAULT,
) -> list[str]:  # fmt: skip
    """Write the folder `out`, which must not exist or be empty, and return lines to print.

    `provenance` says where the weights come from: its entry "arch" must be the digest of the spec that they were
    trained for, and its entry "origin" names them. Without weights, a random initialisation is written, and a line
    says so. The written model is run in a process of its own, without this package, and must give this package's
    logits. `InvalidInput` where weights do not fit, the folder is not empty or logits differ; then nothing is written.
    """
    check_signature(signature, arch)
    weights, known = checked_weights(arch, weights, provenance)
    check_new_folder(out)
    interface = INTERFACE.of_pixels() if options.uint8_input else INTERFACE
    script = partial(predict_script, "flax", "weights.safetensors", "jax", "flax", "safetensors")
    beside = companions(signature, interface, script)
    described = metadata(arch, known, "jax", "flax") | input_metadata(signature, interface)
    with atomic_folder(out) as folder:
        save_weights(folder / "weights.safetensors", weights, arch, known["origin"])
        save_arch(arch, folder / "arch.json")
        write_whole(folder / "model.py", model_source(arch, described | known, options.uint8_input))
        images, normalised = check_images(arch, options.uint8_input)
        absolute, relative = difference(run_model(folder, images), logits(arch, weights, normalised))
        if not relative <= TOLERANCE:
            raise InvalidInput(f"the exported model differs by {relative:.1e} from the network; nothing was written")
        check = (
            f"checked without this package: largest difference of the logits {absolute:.1e}, relative {relative:.1e}"
        )
        text = model_card(
            out.name, arch, known, interface=interface, signature=signature, checks=[check],
            loading=LOADING.format(name=out.name, images=interface.images),
        )  # fmt: skip
        write_whole(folder / "README.md", text)
        for name, content in beside.items():
            write_whole(folder / name, content)
    return [
        f"wrote {out}: {', '.join(('model.py', 'weights.safetensors', 'arch.json', 'README.md', *beside))} "
        f"({arch.params:,} parameters)",
        *weights_messages(known),
        *unsupported_lines(arch),
        f"{check}; try: python {out}/model.py",
    ]


# ---------------------------------------------------------------------------------------------------- the source text


def model_source(arch: ArchSpec, provenance: Mapping[str, str], pixels: InputSpec | None = None) -> str:
    """Return the text of model.py: a docstring, the copied layers and blocks, the class `Model`, and a small main.

    With `pixels`, the model takes uint8 images and normalises them as this says.
    """
    head = _HEAD.format(
        name=_quotable(arch.name),
        shape=", ".join(str(size) for size in arch.input_shape),
        classes=arch.num_classes,
        images="float32, normalised as in training" if pixels is None else "uint8, 0 to 255",
        weights=_quotable(provenance["origin"]),
        provenance=repr(dict(sorted(provenance.items()))),
    )
    layers = copied_sources([*(family_of(op).block for _, op, _ in arch.iter_ops()), HEAD_BLOCK])
    stages = "\n".join(_stage_source(arch, s) for s in range(len(arch.stages)))
    sequence = ', "is_sequence": True' if all(arch.sequences) else ""
    widths = {"in_channels": arch.final_feature_map.channels, "num_classes": arch.num_classes}
    model = _MODEL.format(
        shape=tuple(arch.input_shape),
        common=f'{{"padding": {_literal(arch.padding)}, "norm_eps": {arch.norm_eps!r}, "rngs": rngs{sequence}}}',
        stages=stages,
        head=_call("HeadBlock", widths | asdict(arch.head)),
        normalise="" if pixels is None else _NORMALISE.format(mean=pixels.mean, std=pixels.std),
        kind="np.float32" if pixels is None else "np.uint8",
    )
    return f"{head}\n{layers}\n{model}"


def _stage_source(arch: ArchSpec, stage: int) -> str:
    """Return one stage of the model: a list of constructor calls with plain numbers, each with its output shape."""
    lines = ["            nnx.List(", "                ["]
    for (position, op, shape), is_sequence in zip(arch.iter_ops(), arch.sequences[:-1], strict=True):
        if position.partition(".")[0] == str(stage):
            arguments = {"in_channels": shape.channels} | op.arguments()
            arguments |= {"is_sequence": True} if is_sequence and not all(arch.sequences) else {}
            call = _call(family_of(op).block.partition(":")[2], arguments)
            shape_text = " x ".join(str(size) for size in op.out_shape(shape))
            lines.append(f"                    {call},  # {position}: {shape_text}")
    return "\n".join([*lines, "                ]", "            ),"])


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    """Return a constructor call with these keyword arguments and those that all blocks share."""
    keywords = ", ".join(f"{key}={_literal(value)}" for key, value in arguments.items())
    return f"{name}({keywords}, **common)"


def _literal(value: object) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _quotable(text: str) -> str:
    """Return text that is safe inside a docstring."""
    return "".join(c if c.isprintable() and c not in '\\"' else "_" for c in text)


_HEAD = '''"""{name}: a stand-alone Flax model, images [N, {shape}] -> logits [N, {classes}], written by nas-engine.

Weights: {weights}.

    model = load("weights.safetensors")
    logits = model(images)  # NHWC; {images}

Needs jax, flax, numpy and safetensors. `python model.py` prints the logits of a fixed input.
"""

PROVENANCE = {provenance}
'''

_NORMALISE = """
        scaled = jnp.asarray(x, jnp.float32) / jnp.float32(255)
        x = (scaled - jnp.array({mean}, jnp.float32)) / jnp.array({std}, jnp.float32)"""

_MODEL = '''# ====================================================================================================
# the model
# ====================================================================================================

import sys
from pathlib import Path

import safetensors.numpy

INPUT_SHAPE = {shape}  # height, width, channels


class Model(nnx.Module):
    """The network; its weights are random until `load` gives it those of a file."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        common: dict[str, Any] = {common}
        self.stages = nnx.List([
{stages}
        ])
        self.head = {head}

    def __call__(self, x: Array) -> Array:
        """Return float32 logits [N, classes] for images x [N, H, W, C]."""
        if x.shape[1:] != INPUT_SHAPE:
            raise ValueError(f"the model takes images of shape [N, *{{INPUT_SHAPE}}], got {{x.shape}}"){normalise}
        for stage in self.stages:
            for block in stage:
                x = block(x, stored_statistics)
        return self.head(x, stored_statistics)


def load(path: str | Path) -> Model:
    """Return the model with the weights in a safetensors file; names and shapes must be exactly the model's."""
    weights = safetensors.numpy.load_file(path)
    model = nnx.eval_shape(lambda: Model(nnx.Rngs(0)))
    variables = {{
        ".".join(str(key) for key in at if key != "stages"): node
        for at, node in nnx.iter_graph(model)
        if isinstance(node, (nnx.Param, nnx.BatchStat))
    }}
    if wrong := sorted(set(variables) ^ set(weights)):
        raise ValueError(f"{{path}} does not fit the model: '{{wrong[0]}}' and {{len(wrong) - 1}} others differ")
    for name, variable in variables.items():
        if weights[name].shape != variable.shape:
            raise ValueError(f"{{path}}: '{{name}}' is {{weights[name].shape}}, the model's {{variable.shape}}")
        variable.set_value(jnp.asarray(weights[name], jnp.float32))
    return model


def fixed_input(count: int = 1) -> np.ndarray:
    """Return the same images [count, H, W, C] every time, values between -1 and 1, of uint8 ones from 0 to 255."""
    shape, kind = (count, *INPUT_SHAPE), {kind}
    values = np.sin(0.37 * np.arange(math.prod(shape)) ** 1.1).reshape(shape)
    return (values if kind == np.float32 else 127.5 * (values + 1)).astype(kind)


def main() -> None:
    """Print the logits of the fixed input with the weights beside this file, or those named on the command line."""
    default = Path(__file__).with_name("weights.safetensors")
    model = load(sys.argv[1] if len(sys.argv) > 1 else default)
    logits = nnx.jit(lambda network, x: network(x))(model, jnp.asarray(fixed_input()))
    print("weights:", PROVENANCE["origin"])
    print("logits of a fixed input:", " ".join(f"{{value:.6g}}" for value in np.asarray(logits)[0]))


if __name__ == "__main__":
    main()
'''


# ------------------------------------------------------------------------------------------------------------- check

_DRIVER = """
import sys
for name in {packages!r}:
    sys.modules[name] = None
import importlib.util, numpy
spec = importlib.util.spec_from_file_location("model", "model.py")
model = importlib.util.module_from_spec(spec)
sys.modules["model"] = model
spec.loader.exec_module(model)
apply = model.nnx.jit(lambda network, x: network(x))
logits = apply(model.load("weights.safetensors"), model.jnp.asarray(numpy.load("images.npy")))
numpy.save("logits.npy", numpy.asarray(logits))
"""


def run_model(folder: Path, images: NDArray[Any]) -> NDArray[np.float32]:
    """Return the logits of an exported model, run by another Python in which this package cannot be imported."""
    np.save(folder / "images.npy", images)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-B", "-c", _DRIVER.format(packages=PACKAGES)],
            cwd=folder, env=environment | {"JAX_PLATFORMS": "cpu"}, capture_output=True, text=True,
            timeout=CHECK_TIMEOUT_S, check=False,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise InvalidInput(f"the exported model does not run without this package: {last}; nothing was written")
        logits: NDArray[np.float32] = np.load(folder / "logits.npy", allow_pickle=False)
    except subprocess.TimeoutExpired as error:
        raise InvalidInput(f"the exported model took over {CHECK_TIMEOUT_S} s; nothing was written") from error
    finally:
        for name in ("images.npy", "logits.npy"):
            (folder / name).unlink(missing_ok=True)
    return logits
