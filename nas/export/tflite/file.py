"""Export as one TFLite file, float32, NHWC, checked in LiteRT against the network: https://ai.google.dev/edge/litert."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.export.interface import Interface
from nas.export.options import DEFAULT, FileOptions
from nas.export.single_file import SingleFile
from nas.ops.graph import Tensors


def content(arch: ArchSpec, tensors: Tensors, metadata: Mapping[str, str], options: FileOptions = DEFAULT) -> bytes:
    """Return the bytes of the file."""
    from nas.export.tflite.graph import tflite_model  # ai_edge_litert may be missing

    return tflite_model(arch, tensors, metadata, options)


def run(model: bytes, images: NDArray[Any]) -> NDArray[np.float32]:
    """Return the logits [N, classes] that LiteRT computes for images [N, H, W, C]."""
    from nas.export.tflite.graph import logits_of  # ai_edge_litert may be missing

    return logits_of(model, images)


def loading_code(set_input: str) -> str:
    """Return Python code that loads the file {name} and runs it; `set_input` is the part that sets the input tensor."""
    return f"""
from ai_edge_litert.interpreter import Interpreter
network = Interpreter("{{name}}")
network.allocate_tensors()
{set_input.strip()}
network.invoke()
logits = network.get_tensor(network.get_output_details()[0]["index"])
"""


SET_INPUT = """
network.set_tensor(network.get_input_details()[0]["index"], images)  # {images}
"""
FORMAT = SingleFile(
    form="tflite",
    writer="ai_edge_litert",
    runtime="ai_edge_litert",
    runtime_name="LiteRT",
    interface=Interface("images [N, H, W, C] -> logits, float32", "tflite"),
    content=content,
    run=run,
    loading=loading_code(SET_INPUT),
)
export = FORMAT.export
