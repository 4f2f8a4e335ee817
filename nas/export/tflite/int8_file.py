"""Export as one full-integer TFLite file for the Edge TPU compiler, checked in LiteRT; see nas.export.tflite.int8."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.export.calibration import Int8Calibration
from nas.export.interface import Interface
from nas.export.options import DEFAULT, FileOptions
from nas.export.quantisation_plan import QuantisationPlan
from nas.export.quantised_file import QuantisedFile
from nas.export.tflite.edgetpu import check_supported, operators_text
from nas.export.tflite.file import SET_INPUT, loading_code
from nas.ops.graph import Tensors


def content(
    arch: ArchSpec, tensors: Tensors, metadata: Mapping[str, str], calibration: Int8Calibration,
    options: FileOptions = DEFAULT, plan: QuantisationPlan | None = None,
) -> tuple[bytes, str]:  # fmt: skip
    """Return the bytes of the file, and a text about its operators."""
    # ai_edge_litert may be missing
    from nas.export.tflite.int8 import calibrated_model, int8_model, operators, operators_behind_floats
    from nas.export.tflite.part_int8 import part_int8_model

    if plan is None:
        model = calibrated_model(arch, tensors, calibration.batches(), metadata, options)
    elif not plan.floats:
        model = int8_model(arch, tensors, dict(plan.ranges), metadata, options)
    else:
        model = part_int8_model(arch, tensors, dict(plan.ranges), plan.floats, metadata, options)
        return model, in_part_text(operators(model))
    floats, behind = operators_behind_floats(model)
    front = f"; in front {floats} in float32, the log-mel front end, which the Edge TPU has not" if floats else ""
    return model, operators_text(behind) + front


def in_part_text(operators: Sequence[str]) -> str:
    """Return a text about the operators of a file with layers in float32."""
    between = operators.count("DEQUANTIZE")
    return (
        f"int8 in part: {len(operators)} operators, {between} conversions to float32; the Edge TPU compiler maps those "
        "in front of the first of them, a processor with floats runs all"
    )


def run(model: bytes, images: NDArray[Any]) -> NDArray[np.float32]:
    """Return the logits [N, classes] that LiteRT computes for images [N, H, W, C], one after the other."""
    from nas.export.tflite.int8 import int8_logits_of  # ai_edge_litert may be missing

    return int8_logits_of(model, images)


SET_INT8_INPUT = """
index, (scale, zero) = (network.get_input_details()[0][key] for key in ("index", "quantization"))
network.set_tensor(index, (images / scale + zero).round().clip(-128, 127).astype("int8"))  # normalised, [1, H, W, C]
"""
FORMAT = QuantisedFile(
    form="tflite",
    packages=("ai_edge_litert",),
    runtime_name="LiteRT",
    interface=Interface(
        "images int8 [1, H, W, C] -> logits int8, integers throughout (weights per channel)", "tflite", dtype="int8"
    ),
    behind_floats=Interface(
        "waveforms float32 [1, T, 1, 1] -> logits int8, integers behind the front end", "tflite", dtype="float32"
    ),
    check=check_supported,
    content=content,
    run=run,
    loading=loading_code(SET_INT8_INPUT),
    loading_uint8=loading_code(SET_INPUT),
)
export = FORMAT.export
