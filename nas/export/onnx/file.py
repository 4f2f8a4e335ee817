"""Export as one ONNX file, float32, NCHW, checked in ONNX Runtime against the network: https://onnx.ai."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.export.interface import Interface
from nas.export.onnx.session import open_session
from nas.export.options import DEFAULT, FileOptions
from nas.export.single_file import SingleFile
from nas.ops.graph import Tensors


def content(arch: ArchSpec, tensors: Tensors, metadata: Mapping[str, str], options: FileOptions = DEFAULT) -> bytes:
    """Return the bytes of the file, which passes ONNX's checker."""
    from nas.export.onnx.graph import file_bytes, onnx_model  # onnx may be missing

    return file_bytes(onnx_model(arch, tensors, metadata, options))


def run(model: bytes, images: NDArray[Any]) -> NDArray[np.float32]:
    """Return the logits [N, classes] that ONNX Runtime computes for images [N, H, W, C], float32 or uint8."""
    session = open_session(model)
    images = images if images.dtype == np.uint8 else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    (found,) = session.run(None, {session.get_inputs()[0].name: images})
    return found


FORMAT = SingleFile(
    form="onnx",
    writer="onnx",
    runtime="onnxruntime",
    runtime_name="ONNX Runtime",
    interface=Interface("images [N, C, H, W] -> logits, float32", "onnx", "NCHW"),
    content=content,
    run=run,
    loading="""
import onnxruntime
options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.x64quantprecision", "1")  # int8: exact sums on x86-64 without VNNI too
session = onnxruntime.InferenceSession("{name}", options, providers=["CPUExecutionProvider"])
logits, = session.run(None, {{session.get_inputs()[0].name: images}})  # {images}
""",
)
export = FORMAT.export
