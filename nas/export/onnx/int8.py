"""A network as an int8 ONNX graph by ONNX Runtime's static quantisation: QDQ, weights per channel.

https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html. Weights are int8 and activations uint8:
with int8 ones ONNX Runtime (1.31) computes residual additions, and the convolutions before and behind them, in float32
on x86-64. A log-mel front end stays float32, as its powers span more than 8 bits hold; its result is quantised.
"""

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from nas.arch import ArchSpec
from nas.export.calibration import Int8Calibration, pixels_of
from nas.export.onnx.graph import INPUT, file_bytes, onnx_model, opset_for
from nas.export.options import DEFAULT, FileOptions
from nas.ops.graph import Tensors

QUANTISED = ("Conv", "MatMul", "Add", "Mul", "GlobalAveragePool", "MaxPool", "Concat", "Split", "Clip", "Relu")


def int8_model(
    arch: ArchSpec, tensors: Tensors, metadata: Mapping[str, str], calibration: Int8Calibration,
    options: FileOptions = DEFAULT,
) -> tuple[bytes, str]:  # fmt: skip
    """Return the file of `arch`, images float32 [N, C, H, W] -> logits [N, classes], and which nodes are int8."""
    floating = onnx_model(arch, tensors, metadata, options)
    fronts = tuple(f"{position}." for position, op, _ in arch.iter_ops() if op.is_front_end)
    excluded = [node.name for node in floating.graph.node if fronts and node.name.startswith(fronts)]
    with tempfile.TemporaryDirectory() as folder, _warnings_off():
        path = Path(folder, "int8.onnx")
        quantize_static(
            floating, path, _CalibrationImages(calibration, options), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=excluded,
        )  # fmt: skip
        model = onnx.load(path)
    opset_for(model.graph.node, options.opset)
    model.ir_version = floating.ir_version
    model.producer_name, model.producer_version = floating.producer_name, ""
    return file_bytes(model), quantised_share(model)


def quantised_share(model: onnx.ModelProto) -> str:
    """Return a text: how many nodes of each kind are int8, that is, get all inputs from a DequantizeLinear."""
    from_int8 = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    sizes = {one.name for one in model.graph.initializer if one.data_type == onnx.TensorProto.INT64}
    done, all_nodes = Counter[str](), Counter[str]()
    for node in model.graph.node:
        if node.op_type in QUANTISED:
            all_nodes[node.op_type] += 1
            done[node.op_type] += set(node.input) <= from_int8 | sizes
    counts = [f"{done[kind]} of {count} {kind}" for kind, count in all_nodes.items()]
    return f"int8: {', '.join(counts)}"


class _CalibrationImages(CalibrationDataReader):  # type: ignore[misc]
    """The calibration images, batch by batch, NCHW."""

    def __init__(self, calibration: Int8Calibration, options: FileOptions) -> None:
        self._batches, self._pixels = calibration.batches(), options.uint8_input

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch as the inputs of a session, None behind the last."""
        batch = next(self._batches, None)
        if batch is None:
            return None
        if self._pixels is not None:
            return {INPUT: pixels_of(batch, self._pixels)}
        return {INPUT: np.ascontiguousarray(batch.transpose(0, 3, 1, 2))}


@contextmanager
def _warnings_off() -> Iterator[None]:
    """Silence the advice to run a pre-processing: it would fold what is folded already."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
