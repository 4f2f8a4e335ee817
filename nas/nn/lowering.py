"""Lower a network to basic operators, which a `Writer` (nas.ops.graph) adds to a graph of its format."""

import numpy as np

from nas.arch import ArchSpec
from nas.data.input_spec import InputSpec
from nas.ops import Shape
from nas.ops.graph import Lowering, Tensors, Value, Writer

NORMALISED = "normalised"  # the node of uint8 images after their normalisation


def lower(
    arch: ArchSpec, tensors: Tensors, writer: Writer, pixels: InputSpec | None = None, *, in_double: bool = True
) -> Value:
    """Add the network `arch` to the graph of `writer` and return its logits, a vector.

    With `pixels`, the input is uint8 images, which operators in front of the network normalise. Mean and std are not
    folded into the first convolution: the zeros of its padding are zeros of the normalised image.
    `tensors` returns every weight and stored statistic by name and shape, in the layouts of nas.nn.layers; they are
    folded in double precision, or not `in_double` as they are.
    """
    graph = Lowering(tensors, writer, arch.norm_eps, in_double=in_double)
    x = writer.input(arch.input_shape) if pixels is None else _normalised(writer, arch.input_shape, pixels)
    for (position, op, shape), is_sequence in zip(arch.iter_ops(), arch.sequences[:-1], strict=True):
        out = op.emit(graph.on(is_sequence=is_sequence), x, position)
        assert (x.shape, out.shape) == (shape, op.out_shape(shape))
        x = writer.add(f"{position}.add", out, x) if getattr(op, "residual", False) else out
    return arch.head.emit_logits(graph, x, arch.num_classes)


def has_front_end(arch: ArchSpec) -> bool:
    """Return whether the network begins with a front end that makes spectrograms of waveforms."""
    return any(op.is_front_end for _, op, _ in arch.iter_ops())


def _normalised(writer: Writer, shape: Shape, spec: InputSpec) -> Value:
    """Add an input of uint8 images x and (x / 255 - mean) / std of it."""
    mean, std = np.array(spec.mean), np.array(spec.std)
    return writer.affine(NORMALISED, writer.pixels(shape), 1 / (255 * std), -mean / std)
