"""ONNX Runtime computes int8 files in int8: convolutions and residual additions, where activations are uint8."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.arch import ArchSpec
from nas.ops import Conv, Head, InvertedResidual, Shape
from nas.quantisation.calibrate import calibrated_ranges
from tests.export.test_int8 import noise, scaled_weights

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

ARCH = ArchSpec(
    Shape(16, 16, 3),
    (
        (Conv(8, 3, 2, "relu6"),),
        (
            InvertedResidual(8, 16, 3, act="relu6", residual=True),
            InvertedResidual(8, 16, 3, act="relu", residual=True),
            InvertedResidual(16, 24, 3, 2, act="relu6"),
        ),
    ),
    Head(0),
    4,
)


def qdq(weights: Any) -> bytes:
    from nas.export.onnx.graph import file_bytes
    from nas.export.onnx.qdq import qdq_model

    images = np.random.default_rng(1).normal(size=(4, *ARCH.input_shape)).astype(np.float32)
    ranges = calibrated_ranges(ARCH, weights, [images])
    return file_bytes(qdq_model(ARCH, weights, ranges, frozenset(), {}))


def by_the_runtimes_tool(weights: Any) -> bytes:
    from nas.export.onnx.int8 import int8_model

    return int8_model(ARCH, weights, {}, noise(ARCH))[0]


@pytest.mark.parametrize("make", [qdq, by_the_runtimes_tool])
def test_convolutions_and_additions_are_int8(tmp_path: Path, make: Any) -> None:
    weights = scaled_weights(ARCH)
    content = make(lambda name, _: np.asarray(weights[name]))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "a.onnx"), 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node)
    assert kinds["QLinearConv"] + kinds["QGemm"] == 11 and kinds["QLinearAdd"] == 2
    assert not {"Conv", "FusedConv", "Add", "Gemm", "Clip", "Relu"} & kinds.keys()
