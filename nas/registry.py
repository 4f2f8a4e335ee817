"""Names to objects: one dict literal per extension point, `name -> "module:attribute"`; listing imports nothing.

A new member is one file and one line here. From outside, every name may also be written as "my_pkg.my_mod:ATTRIBUTE".
What each kind of member must be is said beside its dict; docs/extending.md has a recipe for each.
"""

from importlib import import_module
from typing import Any

from nas.errors import InvalidInput, unknown_name

SPACES = {  # SearchSpace (nas/protocols.py); a StagedSpace has a supernet
    "uib": "search_spaces.uib:SPACE",
    "uib_smoke": "search_spaces.uib_smoke:SPACE",
    "ofa_mbv3": "search_spaces.ofa_mbv3:SPACE",
    "mbconv_imagenet": "search_spaces.mbconv_imagenet:SPACE",
}
TARGETS: dict[
    str, str
] = {}  # latency_models.target.Target; those of this package are files: latency_models/targets/*.toml
LATENCY_MODELS = {  # function Target -> LatencyModel
    "default": "latency_models.target:default_model",
    "plain-roofline": "latency_models.target:plain_roofline",
}
DATA_SETS = {  # function (folder of published files) -> Dataset
    "cifar10": "nas.data.cifar10:load_cifar10",
    "digits": "nas.data.digits:load_digits",
    "fashion-mnist": "nas.data.fashion_mnist:load_fashion_mnist",
}
COSTS = {  # nas.search.objectives.CostColumn, or a plain Cost (nas/protocols.py)
    "latency": "nas.search.objectives:LATENCY",
    "memory": "nas.search.objectives:MEMORY",
    "flash": "nas.search.objectives:FLASH",
    "energy": "nas.search.objectives:ENERGY",
    "macs": "nas.search.objectives:MACS_COLUMN",
    "params": "nas.search.objectives:PARAMS_COLUMN",
}
EVALUATORS = {  # nas.runs.evaluators.EvaluatorSource: what gives candidates their accuracy
    "supernet": "nas.runs.evaluators:SUPERNET",
}
ALGORITHMS = {  # SearchAlgorithm called with a Proposer, or a nas.search.strategy.Strategy
    "joint": "nas.search.strategy:JOINT",
    "reinforce": "nas.search.algorithms.fixed_supernet_reinforce:STRATEGY",
    "random": "nas.search.algorithms.random_search:RandomSearch",
    "regularized-evolution": "nas.search.algorithms.regularized_evolution:RegularizedEvolution",
    "nsga2": "nas.search.algorithms.nsga2:NSGA2",
    "local-search": "nas.search.algorithms.local_search:LocalSearch",
    "swarm": "nas.search.algorithms.swarm:Swarm",
    "gaussian-process": "nas.search.algorithms.gaussian_process:GaussianProcess",
    "hybrid": "nas.search.algorithms.hybrid:Hybrid",
}
ACCURACY_MODELS = {  # nas.search.accuracy.model.AccuracyModel, or a scikit-learn regressor
    "ridge": "nas.search.accuracy.model:RIDGE",
    "random": "nas.search.accuracy.model:RANDOM",
}
FRONT_ALGORITHM = "regularized-evolution"  # near each latency of a whole front, where no other is named
EXPORTERS = {  # function (arch, path, *, weights, provenance, signature) -> lines to print; see FILE_OPTIONS
    "json": "nas.export.json_file:export",
    "flax": "nas.export.flax.folder:export",
    "onnx": "nas.export.onnx.file:export",
    "tflite": "nas.export.tflite.file:export",
    "stablehlo": "nas.export.stablehlo.file:export",
    "timm": "nas.export.timm.folder:export",
}
ENDINGS = {name: f".{name}" for name in ("json", "onnx", "stablehlo", "tflite")}  # of formats that are one file
INT8_EXPORTERS = {  # each takes a `calibration` too (nas.export.calibration.Int8Calibration)
    "onnx": "nas.export.onnx.int8_file:export",
    "tflite": "nas.export.tflite.int8_file:export",
}
FILE_OPTIONS = {  # field of nas.export.options.FileOptions -> formats whose exporters take it, as `options`
    "opset": ("onnx",),
    "uint8_input": ("onnx", "tflite", "stablehlo", "flax"),
}
RUNTIMES = {  # nas.measure.benchmark.Runtime
    "onnxruntime": "nas.measure.onnx_runtime:RUNTIME",
    "litert": "nas.measure.litert:RUNTIME",
    "xla": "nas.measure.xla:RUNTIME",
}
TRACKERS = {  # nas.trackers.OpenTracker: function TrackedRun -> Tracker
    "tensorboard": "nas.trackers.tensorboard:TensorBoard",
    "mlflow": "nas.trackers.mlflow:MLflow",
    "wandb": "nas.trackers.wandb:WeightsAndBiases",
}


def load(kind: str, members: dict[str, str], name: str) -> Any:
    """Return the member `name` of a registry, or the object at "module:attribute"; `kind` is the word for errors."""
    address = members.get(name, name if ":" in name else None)
    if address is None:
        raise unknown_name(kind, name, members)
    module, _, attribute = address.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        if name in members:
            raise
        raise InvalidInput(
            f"{kind} '{name}' cannot be imported: {error}; write it as package.module:ATTRIBUTE"
        ) from error


def lazy(module: str) -> Any:
    """Return a stand-in for a module, which is imported when one of its attributes is first asked for."""
    return _LazyModule(module)


class _LazyModule:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)
