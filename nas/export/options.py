"""Options of an exported file that change its graph: the opset of ONNX."""

from dataclasses import dataclass, fields
from typing import Any

from nas.errors import InvalidInput
from nas.registry import FILE_OPTIONS


@dataclass(frozen=True)
class FileOptions:
    """What a file is to be, beyond the network that it holds."""

    opset: int | None = None  # of an ONNX file; None: the lowest that its operators need, and at least 13


DEFAULT = FileOptions()


def exporter_arguments(form: str, options: FileOptions) -> dict[str, Any]:
    """Return the arguments by which an exporter of the format `form` gets the options; none where all are default.

    `InvalidInput` where the format does not have an option that was asked for.
    """
    for field in fields(FileOptions):
        if getattr(options, field.name) != field.default and form not in (takers := FILE_OPTIONS[field.name]):
            raise InvalidInput(f"the format {form} has no option {field.name}; it goes with {', '.join(takers)}")
    return {} if options == DEFAULT else {"options": options}
