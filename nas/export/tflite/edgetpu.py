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

from latency_models.target import load_target
from latency_models.unsupported import HEAD, refused_by
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import LogMel

TARGET = "coral-edgetpu"  # whose file says which ops and activations these operators cannot write


@cache
def supported_operators() -> frozenset[str]:
    """Return the operators that the compiler supports, by their names in TFLite's schema."""
    text = files("nas.export.tflite").joinpath("edgetpu_ops.csv").read_text()
    return frozenset(row["tflite"] for row in csv.DictReader(text.splitlines()))


def check_supported(arch: ArchSpec) -> None:
    """Raise `InvalidInput` where `arch` has an op or activation that the file of the Edge TPU's target names.

    But for a log-mel front end, which stays in float32 in front of the integers: that file is for other processors.
    """
    found = [one for one in refused_by(load_target(TARGET), arch) if one.name != LogMel.tag]
    by_kind = sorted(found, key=lambda one: one.unsupported.kind != "op")
    for refusal in by_kind:  # an op first: another activation would not help a network that has it
        where = "the head" if refusal.position == HEAD else f"op {refusal.position}"
        what, instead = f"has the activation {refusal.name}, which", "with relu, relu6, hswish or swish"
        if refusal.unsupported.kind == "op":
            what, instead = f"is {refusal.name}, which", f"without {refusal.name}"
        raise InvalidInput(
            f"{where} {what} the Edge TPU compiler does not support ({refusal.unsupported.source}); "
            f"leave --quantize out, or export a network {instead}"
        )


def operators_text(operators: Sequence[str]) -> str:
    """Return a text with the number of operators of each kind; `InvalidInput` where one is not supported."""
    if unknown := sorted(set(operators) - supported_operators()):
        raise InvalidInput(f"the Edge TPU compiler does not support {unknown[0]}; nothing was written")
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(operators).items()))
    return f"int8: all {len(operators)} operators, each one that the Edge TPU compiler supports: {counts}"
