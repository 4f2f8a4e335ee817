"""The range of every tensor inside a network on given images: a forward pass of the float32 file in LiteRT."""

from collections.abc import Iterable

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.export.lowering import Tensors
from nas.export.tflite.graph import OUTPUT, tflite_model

Range = tuple[float, float]  # smallest and largest value, 0 among them: zeros around a map are 0


def ranges(arch: ArchSpec, tensors: Tensors, batches: Iterable[NDArray[np.float32]]) -> dict[str, Range]:
    """Return the range of every tensor of `tflite_graph` by name over all `batches` of images [N, H, W, C].

    The tensor that the file calls logits has the last layer's name here: "head.classifier".
    """
    one = Interpreter(
        model_content=tflite_model(arch, tensors, {}), num_threads=1, experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )  # fmt: skip
    place = one.get_input_details()[0]["index"]
    names = {entry["index"]: entry["name"] for entry in one.get_tensor_details() if entry["dtype"] == np.float32}
    found: dict[str, Range] = {}
    shape: tuple[int, ...] = ()
    for batch in batches:
        if batch.shape != shape:
            shape = batch.shape
            one.resize_tensor_input(place, shape)
            one.allocate_tensors()
        one.set_tensor(place, batch)
        one.invoke()
        for index, name in names.items():
            values = one.get_tensor(index)
            low, high = found.get(name, (0.0, 0.0))
            found[name] = min(low, float(values.min())), max(high, float(values.max()))
    return found | {"head.classifier": found[OUTPUT]}
