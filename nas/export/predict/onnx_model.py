"""An ONNX file for predict.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime


def open_model(path: Path) -> tuple[dict[str, str], Callable[[Any], Any]]:
    """Return the metadata of the model in `path`, and the function from its input to its logits."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")  # int8: exact sums on x86-64 without VNNI too
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return session.get_modelmeta().custom_metadata_map, lambda images: session.run(None, {name: images})[0]
