"""A TFLite file, float32 or int8, for predict.py."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter


def open_model(path: Path) -> tuple[dict[str, str], Callable[[Any], Any]]:
    """Return the metadata of the model in `path`, and the function from its input to its logits."""
    content = path.read_bytes()
    network = Interpreter(model_content=content)
    network.allocate_tensors()
    (inputs,), (outputs,) = network.get_input_details(), network.get_output_details()

    def logits_of(images: Any) -> Any:
        if inputs["dtype"] == np.int8:
            scale, zero = inputs["quantization"]
            images = np.clip(np.rint(images / scale) + zero, -128, 127).astype(np.int8)
        network.set_tensor(inputs["index"], images)
        network.invoke()
        logits = network.get_tensor(outputs["index"])
        if outputs["dtype"] == np.int8:
            scale, zero = outputs["quantization"]
            logits = (logits.astype(np.float32) - zero) * scale
        return logits

    return stored_metadata(content), logits_of


def stored_metadata(content: bytes) -> dict[str, str]:
    """Return the metadata that nas-engine wrote into a TFLite file."""
    model = schema.ModelT.InitFromPackedBuf(content)
    entry = next(one for one in model.metadata if one.name == b"nas-engine")
    found: dict[str, str] = json.loads(bytes(model.buffers[entry.buffer].data))
    return found
