"""Options of an exported file that change its graph: the opset of ONNX, and uint8 images as its input."""

from dataclasses import dataclass, fields
from typing import Any

from nas.data.input_spec import InputSpec, Signature
from nas.errors import InvalidInput
from nas.registry import FILE_OPTIONS


@dataclass(frozen=True)
class FileOptions:
    """What a file is to be, beyond the network that it holds."""

    uint8_input: InputSpec | None = None  # it takes pixels 0 to 255, NHWC, which the graph normalises as this says
    opset: int | None = None  # of an ONNX file; None: the lowest that its operators need, and at least 13


DEFAULT = FileOptions()
INPUT_TYPES = ("float32", "uint8")  # of the images; an int8 file without uint8 images takes int8 ones


def exporter_arguments(form: str, options: FileOptions) -> dict[str, Any]:
    """Return the arguments by which an exporter of the format `form` gets the options; none where all are default.

    `InvalidInput` where the format does not have an option that was asked for.
    """
    for field in fields(FileOptions):
        if getattr(options, field.name) != field.default and form not in (takers := FILE_OPTIONS[field.name]):
            name = field.name.replace("_", " ")
            raise InvalidInput(f"the format {form} has no option {name}; it goes with {', '.join(takers)}")
    return {} if options == DEFAULT else {"options": options}


def uint8_input(kind: str, signature: Signature | None) -> InputSpec | None:
    """Return the normalisation to put into the graph for images of the type `kind`: None for "float32".

    `InvalidInput` for other types, and where the normalisation is not known.
    """
    if kind not in INPUT_TYPES:
        raise InvalidInput(f"the input must be one of {', '.join(INPUT_TYPES)}, got '{kind}'")
    if kind == "uint8" and signature is None:
        raise InvalidInput(
            "an input of uint8 images needs the mean and the std of the training, which these weights do not state; "
            "export the folder of a training"
        )
    if kind == "uint8" and signature is not None and not signature.input.is_image:
        raise InvalidInput("an input of uint8 pixels is that of images; this network takes numbers: export float32")
    return signature.input if signature is not None and kind == "uint8" else None
