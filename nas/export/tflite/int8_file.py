"""Export as one full-integer TFLite file for LiteRT and the Edge TPU compiler, checked in LiteRT; see tflite_int8."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.export.calibration import Int8Calibration
from nas.export.lowering import Tensors
from nas.export.quantised_file import QuantisedFile
from nas.export.tflite.edgetpu import check_supported, operators_in_words


def content(
    arch: ArchSpec, tensors: Tensors, metadata: Mapping[str, str], calibration: Int8Calibration
) -> tuple[bytes, str]:
    """Return the bytes of the file, and what its operators are."""
    from nas.export.tflite.int8 import int8_model, operators
    from nas.export.tflite.range_observer import ranges

    model = int8_model(arch, tensors, ranges(arch, tensors, calibration.batches()), metadata)
    return model, operators_in_words(operators(model))


def run(model: bytes, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits [N, classes] that LiteRT computes for images [N, H, W, C], one after the other."""
    from nas.export.tflite.int8 import logits_of

    return logits_of(model, images)


FORMAT = QuantisedFile(
    packages=("ai_edge_litert",),
    runtime_name="LiteRT",
    signature="images int8 [1, H, W, C] -> logits int8, whole numbers throughout (weights per channel)",
    check=check_supported,
    content=content,
    run=run,
    loading="""
from ai_edge_litert.interpreter import Interpreter
network = Interpreter("{name}")
network.allocate_tensors()
place, (scale, zero) = (network.get_input_details()[0][key] for key in ("index", "quantization"))
network.set_tensor(place, (images / scale + zero).round().clip(-128, 127).astype("int8"))  # normalised, [1, H, W, C]
network.invoke()
logits = network.get_tensor(network.get_output_details()[0]["index"])
""",
)
export = FORMAT.export
