"""Export as one StableHLO program by jax.export, weights included, any batch: https://docs.jax.dev/en/latest/export.

The file runs on CPU, GPU and TPU without this package. It has no place for metadata: NAME.json beside it holds them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.export
import numpy as np
from jax import Array
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.export.interface import Interface
from nas.export.options import DEFAULT, FileOptions
from nas.export.single_file import SingleFile
from nas.nn.network import merged, weight_shapes
from nas.nn.primitives import for_every_platform
from nas.ops.graph import Tensors

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
LOCATIONS = "jax_traceback_in_locations_limit"
BATCH = "batch"  # the name of the dimension of any size


def content(arch: ArchSpec, tensors: Tensors, _: Mapping[str, str], options: FileOptions = DEFAULT) -> bytes:
    """Return the bytes of the program."""
    weights: dict[str, Any] = {
        name: np.asarray(tensors(name, shape), np.float32) for name, shape in weight_shapes(arch).items()
    }

    spec = options.uint8_input

    def logits(images: Array) -> Array:
        if spec is not None:
            scaled = images.astype(np.float32) / np.float32(255)
            images = (scaled - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
        return merged(arch, weights)(images)

    shape = jax.export.symbolic_shape(", ".join([BATCH, *map(str, arch.input_shape)]))
    with _without_locations(), for_every_platform():
        program = jax.export.export(jax.jit(logits), platforms=PLATFORMS)(
            jax.ShapeDtypeStruct(shape, np.uint8 if spec else np.float32)
        )
    return bytes(program.serialize())


def run(model: bytes, images: NDArray[Any]) -> NDArray[np.float32]:
    """Return the logits [N, classes] that the program gives on the CPU for images [N, H, W, C]."""
    with jax.default_device(jax.devices("cpu")[0]):
        return np.asarray(jax.export.deserialize(bytearray(model)).call(images))


@contextmanager
def _without_locations() -> Iterator[None]:
    """Keep the names of source files out of the program: the same network gives the same bytes everywhere."""
    before = getattr(jax.config, LOCATIONS)
    jax.config.update(LOCATIONS, 0)
    try:
        yield
    finally:
        jax.config.update(LOCATIONS, before)


FORMAT = SingleFile(
    form="stablehlo",
    writer="jax",
    runtime="jax",
    runtime_name="jax.export",
    interface=Interface("images [N, H, W, C] -> logits, float32, any N", "jax"),
    content=content,
    run=run,
    loading="""
import jax
program = jax.export.deserialize(bytearray(open("{name}", "rb").read()))
logits = program.call(images)  # {images}
""",
    metadata_beside=True,
)
export = FORMAT.export
