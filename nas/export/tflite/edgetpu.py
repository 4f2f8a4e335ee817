"""Check that the Edge TPU compiler supports a network: the operators of edgetpu_ops.csv, on tensors of fixed size.

Source of the table: "TensorFlow models on the Edge TPU", Supported operations, https://coral.ai/docs/edgetpu/models-intro
(newest runtime; limitations in our words), with the operators' names in TFLite's schema. The page itself was read in
part; its rows were checked against older copies, those from Rsqrt on only partly. Same page, Model requirements: 8-bit
numbers, sizes known at compile time, at most the three innermost dimensions larger than 1.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from nas.arch import ArchSpec
from nas.errors import InvalidInput

UNSUPPORTED_ACTS = ("gelu",)


@cache
def supported_operators() -> frozenset[str]:
    """Return the operators that the compiler supports, by their names in TFLite's schema."""
    text = files("nas.export.tflite").joinpath("edgetpu_ops.csv").read_text()
    return frozenset(row["tflite"] for row in csv.DictReader(text.splitlines()))


def check_supported(arch: ArchSpec) -> None:
    """Raise `InvalidInput` where `arch` has an op that cannot be written with the supported operators."""
    named = [(f"op {position}", op) for position, op, _ in arch.iter_ops()]
    for where, op in named:
        if op.tag == "mobile_mqa":
            raise InvalidInput(
                f"{where} is mobile_mqa, whose products of two maps the Edge TPU compiler does not support; "
                "leave --quantize out, or export a network without attention"
            )
    for where, layer in [*named, ("the head", arch.head)]:
        for field in ("act", "se_act"):
            if (act := getattr(layer, field, "none")) in UNSUPPORTED_ACTS:
                raise InvalidInput(
                    f"{where} has the activation {act}, which the Edge TPU compiler does not support; "
                    "leave --quantize out, or export a network with relu, relu6, hswish or swish"
                )


def operators_text(operators: Sequence[str]) -> str:
    """Return a text with the number of operators of each kind; `InvalidInput` where one is not supported."""
    if unknown := sorted(set(operators) - supported_operators()):
        raise InvalidInput(f"the Edge TPU compiler does not support {unknown[0]}; nothing was written")
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(operators).items()))
    return f"int8: all {len(operators)} operators, each one that the Edge TPU compiler supports: {counts}"
