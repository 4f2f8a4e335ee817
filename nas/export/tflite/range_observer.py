"""Range observer for int8: the range of every tensor of a network on calibration images, from the float32 file."""

from collections.abc import Iterable

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.export.tflite.graph import OUTPUT, tflite_model
from nas.ops.graph import Tensors
from nas.quantisation.grid import Range


def observed_ranges(arch: ArchSpec, tensors: Tensors, batches: Iterable[NDArray[np.float32]]) -> dict[str, Range]:
    """Return the range of every tensor of the TFLite graph by name, over all `batches` of images [N, H, W, C].

    The tensor of the logits has the name of the last layer: "head.classifier".
    """
    network = Interpreter(
        model_content=tflite_model(arch, tensors, {}), num_threads=1, experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )  # fmt: skip
    index = network.get_input_details()[0]["index"]
    names = {entry["index"]: entry["name"] for entry in network.get_tensor_details() if entry["dtype"] == np.float32}
    found: dict[str, Range] = {}
    shape: tuple[int, ...] = ()
    for batch in batches:
        if batch.shape != shape:
            shape = batch.shape
            network.resize_tensor_input(index, shape)
            network.allocate_tensors()
        network.set_tensor(index, batch)
        network.invoke()
        for number, name in names.items():
            values = network.get_tensor(number)
            low, high = found.get(name, (0.0, 0.0))
            found[name] = min(low, float(values.min())), max(high, float(values.max()))
    return found | {"head.classifier": found[OUTPUT]}
