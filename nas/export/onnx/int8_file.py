"""Export as one ONNX file with int8 weights and activations, checked in ONNX Runtime; see nas.export.onnx.int8."""

from collections.abc import Mapping

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.export.calibration import Int8Calibration
from nas.export.interface import Interface
from nas.export.onnx.file import FORMAT as FLOAT
from nas.export.onnx.file import run
from nas.export.options import DEFAULT, FileOptions
from nas.export.quantisation_plan import QuantisationPlan
from nas.export.quantised_file import QuantisedFile
from nas.ops.fields import EVONORMS
from nas.ops.graph import Tensors


def check_supported(arch: ArchSpec) -> None:
    """Raise `InvalidInput` where `arch` has an EvoNorm: 8 bits do not hold the squares that its variances come from."""
    for position, op, _ in arch.iter_ops():
        if (act := getattr(op, "act", "")) in EVONORMS:
            raise InvalidInput(
                f"op {position} has {EVONORMS[act]}, whose variances int8 numbers do not hold; "
                "leave --quantize out, or export a network with normalisation and an activation"
            )


def content(
    arch: ArchSpec, tensors: Tensors, metadata: Mapping[str, str], calibration: Int8Calibration,
    options: FileOptions = DEFAULT, plan: QuantisationPlan | None = None,
) -> tuple[bytes, str]:  # fmt: skip
    """Return the bytes of the file, and which nodes are int8."""
    # onnx and onnxruntime may be missing
    from nas.export.onnx.graph import file_bytes
    from nas.export.onnx.int8 import int8_model, quantised_share
    from nas.export.onnx.qdq import qdq_model

    if plan is not None:
        model = qdq_model(arch, tensors, plan.ranges, plan.floats, metadata, options)
        return file_bytes(model), quantised_share(model)
    return int8_model(arch, tensors, metadata, calibration, options)


FORMAT = QuantisedFile(
    form="onnx",
    packages=("onnx", "onnxruntime"),
    runtime_name="ONNX Runtime",
    interface=Interface(
        "images float32 [N, C, H, W] -> logits float32, int8 inside (QDQ, weights per channel)", "onnx", "NCHW"
    ),
    check=check_supported,
    content=content,
    run=run,
    loading=FLOAT.loading,
    scheme="functions",
)
export = FORMAT.export
