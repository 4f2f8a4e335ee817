"""Export as one ONNX file with int8 weights and activations, checked in ONNX Runtime; see nas.export.onnx.int8."""

from collections.abc import Mapping

from nas.arch import ArchSpec
from nas.export.calibration import Int8Calibration
from nas.export.interface import Interface
from nas.export.onnx.file import FORMAT as FLOAT
from nas.export.onnx.file import run
from nas.export.options import DEFAULT, FileOptions
from nas.export.quantised_file import QuantisedFile
from nas.ops.graph import Tensors


def content(
    arch: ArchSpec, tensors: Tensors, metadata: Mapping[str, str], calibration: Int8Calibration,
    options: FileOptions = DEFAULT,
) -> tuple[bytes, str]:  # fmt: skip
    """Return the bytes of the file, and which nodes are int8."""
    from nas.export.onnx.int8 import int8_model  # onnx and onnxruntime may be missing

    return int8_model(arch, tensors, metadata, calibration, options)


FORMAT = QuantisedFile(
    form="onnx",
    packages=("onnx", "onnxruntime"),
    runtime_name="ONNX Runtime",
    interface=Interface(
        "images float32 [N, C, H, W] -> logits float32, int8 inside (QDQ, weights per channel)", "onnx", "NCHW"
    ),
    check=lambda _: None,
    content=content,
    run=run,
    loading=FLOAT.loading,
)
export = FORMAT.export
