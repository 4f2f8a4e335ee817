"""Names to objects: one dict literal per extension point, `name -> "module:attribute"`; listing imports nothing.

A new member is one file and one line here. From outside, every name may also be written as "my_pkg.my_mod:ATTRIBUTE".
What each kind of member must be is said beside its dict; docs/extending.md has a recipe for each. Such a name counts
only where the call at hand states it, on the command line or as an argument of nas.api: a file never names code alone.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from inspect import Parameter, signature
from itertools import chain
from traceback import extract_tb
from typing import Any, ParamSpec, TypeVar

from nas.errors import InvalidInput, unknown_name

POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
P = ParamSpec("P")
R = TypeVar("R")
SPACES = {  # SearchSpace (nas/protocols.py); a StagedSpace has a supernet
    "uib": "search_spaces.uib:SPACE",
    "uib-expansion": "search_spaces.uib_expansion:SPACE",
    "uib-hybrid": "search_spaces.uib_hybrid:SPACE",
    "uib_smoke": "search_spaces.uib_smoke:SPACE",
    "ofa_mbv3": "search_spaces.ofa_mbv3:SPACE",
    "mbconv_imagenet": "search_spaces.mbconv_imagenet:SPACE",
    "mobiledets": "search_spaces.mobiledets:SPACE",
    "mobilenetv3": "search_spaces.mobilenetv3:SPACE",
    "mnasnet": "search_spaces.mnasnet:SPACE",
    "mixnet": "search_spaces.mixnet:SPACE",
    "fd-mobilenet": "search_spaces.fd_mobilenet:SPACE",
    "tiny": "search_spaces.tiny:SPACE",
    "audio-2d": "search_spaces.audio_2d:SPACE",
    "audio-1d": "search_spaces.audio_1d:SPACE",
}
STAGE_FORMS = {  # nas.supernet.stage_forms.StageModule, by the tag of the form in a space (nas/space/forms.py)
    "single": "nas.supernet.stage_forms:SupernetSingle",
    "stack": "nas.supernet.stage_forms:SupernetStack",
}
TARGETS: dict[
    str, str
] = {}  # latency_models.target.Target; those of this package are files: latency_models/targets/*.toml
DEFAULT_TARGET = "pixel6-cpu"  # where a command names no device: known best of those that many networks differ on
LATENCY_MODELS = {  # function Target -> LatencyModel
    "default": "latency_models.target:default_model",
    "plain-roofline": "latency_models.target:plain_roofline",
}
DATA_SETS = {  # function (folder of published files) -> Dataset
    "cifar10": "nas.data.cifar10:load_cifar10",
    "digits": "nas.data.digits:load_digits",
    "fashion-mnist": "nas.data.fashion_mnist:load_fashion_mnist",
    "fsdd": "nas.data.fsdd:load_fsdd",
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
    "trained": "nas.runs.trained_alone:TRAINED",
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
DEFAULT_FORMAT = "tflite"  # the format of nas deploy, unless another one is named
INT8_EXPORTERS = {  # each takes a `calibration` too (nas.export.calibration.Int8Calibration)
    "onnx": "nas.export.onnx.int8_file:export",
    "tflite": "nas.export.tflite.int8_file:export",
}
CALIBRATION_METHODS = {  # function nas.quantisation.histogram.Histogram -> (low, high), the range of a tensor in int8
    "max": "nas.quantisation.histogram:MAX",
    "entropy": "nas.quantisation.histogram:ENTROPY",
    "percentile-99.99": "nas.quantisation.histogram:PERCENTILE_99_99",
    "percentile-99.999": "nas.quantisation.histogram:PERCENTILE_99_999",
}
FILE_OPTIONS = {  # field of nas.export.options.FileOptions -> formats whose exporters take it, as `options`
    "opset": ("onnx",),
    "uint8_input": ("onnx", "tflite", "stablehlo", "flax"),
}
RUNTIMES = {  # nas.measure.benchmark.Runtime
    "onnxruntime": "nas.measure.onnx_runtime:RUNTIME",
    "onnxruntime-int8": "nas.measure.onnx_runtime_int8:RUNTIME",
    "litert": "nas.measure.litert:RUNTIME",
    "xla": "nas.measure.xla:RUNTIME",
}
TRACKERS = {  # nas.trackers.OpenTracker: function TrackedRun -> Tracker
    "tensorboard": "nas.trackers.tensorboard:TensorBoard",
    "mlflow": "nas.trackers.mlflow:MLflow",
    "wandb": "nas.trackers.wandb:WeightsAndBiases",
}


@dataclass(frozen=True)
class Kind:
    """What a member of a registry must be: an object with attributes, or a function of arguments, or one of both.

    `attributes` lists alternatives, of objects and where `classes` says so of classes of them. `methods` are those of
    what a function returns, which a class has itself.
    """

    what: str  # as an error calls it
    attributes: tuple[tuple[str, ...], ...] = ()
    arguments: int | None = None  # positional ones of a function; None where only objects will do
    keywords: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    classes: bool = False

    def has(self, found: Any) -> bool:
        """Return whether an object that was imported is of this kind, as far as one knows without calling it."""
        if isinstance(found, type) and not self._has_methods(found):
            return False
        if self._has_attributes(found):
            return True
        return self.arguments is not None and callable(found) and self._takes_arguments(found)

    def is_made(self, value: Any) -> bool:
        """Return whether what a function returned is what it should."""
        return not isinstance(value, type) and self._has_methods(value)

    def _has_attributes(self, found: Any) -> bool:
        as_object = self.classes or not isinstance(found, type)
        return as_object and any(all(hasattr(found, name) for name in names) for names in self.attributes)

    def _has_methods(self, found: Any) -> bool:
        return all(callable(getattr(found, name, None)) for name in self.methods)

    def _takes_arguments(self, function: Callable[..., Any]) -> bool:
        count = self.arguments or 0
        try:
            own = signature(function)
            own.bind_partial(*[None] * count, **dict.fromkeys(self.keywords))
        except (TypeError, ValueError):  # other arguments, or a function of C that does not say which
            return False
        required = [one for one in own.parameters.values() if one.default is one.empty and one.kind in POSITIONAL]
        return len([one for one in required if one.name not in self.keywords]) <= count


KINDS = {
    "space": Kind("a SearchSpace", (("name", "decisions", "cost_terms", "decode", "encode"),)),
    "target": Kind("a Target", (("dtype", "peak_gmacs_per_s", "bandwidth_gb_per_s", "sourced_values"),)),
    "latency model": Kind(
        "a function of a Target that returns a LatencyModel", arguments=1, methods=("predict_ms", "of_kernel")
    ),
    "data set": Kind(
        "a function of a folder that returns a Dataset", (("x_train", "y_train", "x_test", "y_test"),), arguments=1
    ),
    "cost": Kind("a Cost", (("cost", "heading", "unit"), ("name", "combiner", "constant", "of_kernel"))),
    "evaluator": Kind("an EvaluatorSource", (("build", "images", "how", "payload", "trains_supernet"),)),
    "algorithm": Kind(
        "a Strategy, or be called with a Proposer and return a SearchAlgorithm", (("build", "ask", "batch"),),
        arguments=1, methods=("init", "ask", "tell"),
    ),
    "accuracy model": Kind("a regressor with fit and predict", (("fit", "informed"), ("fit", "predict")), classes=True),
    "format": Kind(
        "a function of an architecture and a path", arguments=2, keywords=("weights", "provenance", "signature")
    ),
    "calibration method": Kind("a function of a Histogram that returns a range", arguments=1),
    "runtime": Kind("a Runtime", (("name", "versions", "open"),)),
    "tracker": Kind("a function that opens a tracker for a run", arguments=1),
}  # fmt: skip
ARGUMENTS = {  # arguments of commands and of functions of nas.api that may name code -> its kind
    "space": "space", "subject": "space", "target": "target", "targets": "target", "like": "target",
    "latency_model": "latency model", "data": "data set", "calibration": "data set", "minimize": "cost",
    "evaluator": "evaluator", "algorithm": "algorithm", "accuracy_model": "accuracy model", "format": "format",
    "runtime": "runtime", "track": "tracker", "calibration_method": "calibration method",
}  # fmt: skip
PATHS = ("subject", "data", "calibration")  # arguments that may be paths, which name no code
Names = frozenset[tuple[str, str]]  # (kind, "module:attribute") each
_stated: set[tuple[str, str]] = set()


class UnstatedCode(InvalidInput):
    """Raised where a stored file names code that the call at hand does not name: it is not imported."""

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        self.names = tuple(dict.fromkeys(names))
        listed = " and ".join(f"{kind} '{name}'" for kind, name in self.names)
        words = "is code: it runs" if len(self.names) == 1 else "are code: they run"
        self.reason = f"{listed} {words} only where the call at hand names it too, not where a stored file does"
        kinds = {kind: argument for argument, kind in reversed(ARGUMENTS.items())}
        named = ", ".join(f"{kinds[kind]}={name!r}" for kind, name in self.names)
        super().__init__(f"{self.reason}; where you trust it, name it first: nas.registry.state({named})")


def state(**arguments: Any) -> None:
    """Take down the code that the arguments of a call name: from then on, stored files may name it too.

    `arguments` are those of `ARGUMENTS`, a string or several; all others are left out, and so are paths.
    """
    for argument, value in arguments.items():
        if kind := ARGUMENTS.get(argument):
            names = [name for name in addresses(value) if argument not in PATHS or not os.path.exists(name)]
            _stated.update((kind, name) for name in names)


def stated() -> Names:
    """Return all code that calls in this process have named, for its workers."""
    return frozenset(_stated)


def state_all(names: Names) -> None:
    """Take down the code that was named in the process that this one works for."""
    _stated.update(names)


def stating(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, which takes down first what code its arguments name; see `state`."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        state(**signature(function).bind_partial(*args, **kwargs).arguments)
        return function(*args, **kwargs)

    return call


def addresses(value: Any) -> tuple[str, ...]:
    """Return the names of the form "module:attribute" in a value: in a string with commas, or in several strings."""
    if isinstance(value, str):
        return tuple(name for name in value.split(",") if is_address(name))
    return tuple(chain.from_iterable(map(addresses, value))) if isinstance(value, list | tuple) else ()


def is_address(name: str) -> bool:
    """Return whether a name has the form "package.module:attribute"."""
    module, _, attribute = name.partition(":")
    return all(part.isidentifier() for part in (*module.split("."), attribute))


def load(kind: str, members: dict[str, str], name: str) -> Any:
    """Return the member `name` of a registry, or the object at "module:attribute"; `kind` is one of `KINDS`.

    Raises `UnstatedCode` for code that no call has named (`state`), `InvalidInput` where it is not of the kind.
    """
    address = members.get(name, name if ":" in name else None)
    if address is None:
        raise unknown_name(kind, name, members)
    if name not in members and (kind, name) not in _stated:  # of another form it is never stated, and never imported
        if is_address(name):
            raise UnstatedCode([(kind, name)])
        raise InvalidInput(f"{kind} '{name}' cannot be imported; write it as package.module:ATTRIBUTE")
    module, _, attribute = address.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        if name in members:
            raise
        raise InvalidInput(
            f"{kind} '{name}' cannot be imported: {error}; write it as package.module:ATTRIBUTE"
        ) from error
    if not KINDS[kind].has(found):
        raise InvalidInput(f"the {kind} '{name}' must be {KINDS[kind].what}, got {_called(found)}")
    return found


def made(kind: str, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what the function `name` of this kind returns; `InvalidInput` where that is not what it should.

    So is an error of a function outside of this package, with its place.
    """
    try:
        value = function(*arguments)
    except (InvalidInput, LookupError):
        raise
    except Exception as error:
        if not is_address(name):
            raise
        frame = extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(frame.filename)}:{frame.lineno}"
        raise InvalidInput(f"the {kind} '{name}' failed at {where} with {type(error).__name__}: {error}") from error
    if not KINDS[kind].is_made(value):
        raise InvalidInput(f"the {kind} '{name}' must be {KINDS[kind].what}, but it returned {type(value).__name__}")
    return value


def _called(found: Any) -> str:
    """Return what an object is, for an error: its type, of a class or function also its name."""
    kind = "class" if isinstance(found, type) else type(found).__name__
    return f"the {kind} {found.__name__}" if callable(found) and hasattr(found, "__name__") else kind


def lazy(module: str) -> Any:
    """Return a stand-in for a module, which is imported when one of its attributes is first asked for."""
    return _LazyModule(module)


class _LazyModule:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)
