"""`ArchSpec`, the one central value: a frozen, hashable, JSON-serialisable architecture, and its exact costs."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar, get_args

from nas.errors import InvalidInput, UnknownName, unknown_name
from nas.files import dump_json, read_json, write_whole
from nas.ops import Head, Kernel, Op, Shape, op_class
from nas.ops.base import FILE_KEYS
from nas.ops.fields import Role, role_of
from nas.ops.graph import Padding

SCHEMA = "nas.archspec"
SCHEMA_VERSION = 1
METADATA = "metadata"  # an object in the JSON form that may hold anything; it does not belong to the architecture
MOST_OPS = 10_000
MOST_ELEMENTS = 2**31 - 1  # parameters, or elements of feature maps alive at once: 8 GB of float32
MOST_ITEMS = 64  # of a list in an op, such as kernel sizes
OpT = TypeVar("OpT", bound=Op)


@dataclass(frozen=True)
class ArchSpec:
    """A whole network: input shape, stages of ops, head and number of classes, padding and normalisation constant.

    `padding` is (k-1)//2 zeros on both sides ('symmetric') or TensorFlow's 'same'; `norm_eps` that of every batch
    normalisation. `name` is a label: equality, hash and digest ignore it.
    An input one wide is a sequence: height is time, and windows are k x 1, up to an op that makes a map of it.
    Raises `InvalidInput` where shapes do not fit.
    """

    input_shape: Shape
    stages: tuple[tuple[Op, ...], ...]
    head: Head
    num_classes: int
    padding: Padding = "symmetric"
    norm_eps: float = 1e-5
    name: str = field(default="unnamed", compare=False)

    def __post_init__(self) -> None:
        if min(self.input_shape) < 1 or self.num_classes < 1:
            raise InvalidInput(
                f"input_shape and num_classes must be positive, got {tuple(self.input_shape)} and {self.num_classes}"
            )
        if self.padding not in get_args(Padding):
            raise InvalidInput(f"padding must be 'symmetric' or 'same', got '{self.padding}'")
        if not 0 < self.norm_eps < 1:
            raise InvalidInput(f"norm_eps must lie between 0 and 1, got {self.norm_eps}")
        if not any(self.stages):
            raise InvalidInput("an architecture needs at least one op in its stages")
        self._check_size()

    def _check_size(self) -> None:
        """Raise where a shape does not fit (lowering checks them), or no machine holds the weights or a feature map."""
        sizes = {
            "ops": (sum(map(len, self.stages)), MOST_OPS),
            "elements in the input": (self.input_shape.elements, MOST_ELEMENTS),
        }
        if sizes["ops"][0] <= MOST_OPS:
            sizes["parameters"] = (self.params, MOST_ELEMENTS)
            sizes["elements in feature maps"] = (self.peak_activation_elements, MOST_ELEMENTS)
        for what, (size, most) in sizes.items():
            if size > most:
                raise InvalidInput(f"the architecture has {size:.4g} {what}; at most {most:,} are supported")

    @property
    def is_sequence(self) -> bool:
        """Whether the input is a sequence, one wide."""
        return self.input_shape.size.is_sequence

    def iter_ops(self) -> Iterator[tuple[str, Op, Shape]]:
        """Yield (position "stage.op", op, input shape) of each op in the order of the network, without the head."""
        shape = self.input_shape
        for s, stage in enumerate(self.stages):
            for i, op in enumerate(stage):
                yield f"{s}.{i}", op, shape
                shape = op.out_shape(shape)

    @cached_property
    def sequences(self) -> tuple[bool, ...]:
        """For each op in order whether its input is a sequence, so that its windows are k x 1; last for the head."""
        ops = (op for stage in self.stages for op in stage)
        return tuple(accumulate(ops, lambda found, op: op.sequence_behind(found), initial=self.is_sequence))

    @cached_property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels that a runtime executes, in order, named "stage.op.kernel" and "head.kernel"."""
        lowered: list[Kernel] = []
        shape = self.input_shape
        for (position, op, shape_in), is_sequence in zip(self.iter_ops(), self.sequences[:-1], strict=True):
            try:
                kernels = op.lower(shape_in)
                if is_sequence:
                    kernels = [kernel.on_sequence() for kernel in kernels]
                lowered += (replace(kernel, name=f"{position}.{kernel.name}") for kernel in kernels)
            except InvalidInput as error:
                raise InvalidInput(f"op {position}: {error}") from error
            shape = op.out_shape(shape_in)
        head = self.head.classify(shape, self.num_classes)
        return (*lowered, *(replace(kernel, name=f"head.{kernel.name}") for kernel in head))

    @cached_property
    def final_feature_map(self) -> Shape:
        """Shape of the feature map that the head pools."""
        *_, (_, op, shape) = self.iter_ops()
        return op.out_shape(shape)

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of convolutions, dense layers and matrix products for one image."""
        return sum(kernel.macs for kernel in self.kernels)

    @property
    def params(self) -> int:
        """Trainable parameters, normalisation scales and biases included."""
        return sum(kernel.params for kernel in self.kernels)

    @property
    def peak_activation_elements(self) -> int:
        """Largest number of activation elements alive at once; a target multiplies by its bytes per element."""
        return max(kernel.live_elements for kernel in self.kernels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the architecture without its name: equal specs have equal digests."""
        content = {key: value for key, value in self.to_dict().items() if key != "name"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "schema": SCHEMA,
            "version": SCHEMA_VERSION,
            "name": self.name,
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            "padding": self.padding,
            "norm_eps": self.norm_eps,
            "stages": [[{"op": op.tag, **op.to_dict()} for op in stage] for stage in self.stages],
            "head": self.head.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Any) -> "ArchSpec":
        """Return the architecture of a JSON form; raises `InvalidInput` or `UnknownName` with what does not fit."""
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise InvalidInput(f"this is not an architecture spec: the field 'schema' must be '{SCHEMA}'")
        version = data.get("version")
        if version != SCHEMA_VERSION:
            raise InvalidInput(
                f"spec version {version!r} is not supported; this release reads version {SCHEMA_VERSION}"
            )
        body = {key: value for key, value in data.items() if key not in ("schema", "version", METADATA)}
        if not isinstance(data.get(METADATA, {}), dict):
            raise InvalidInput(f"{METADATA} must be an object, got {data[METADATA]!r:.60}")
        _check_keys(body, {f.name for f in fields(cls)}, {f.name for f in fields(cls)}, "the spec")
        shape, stages = body["input_shape"], body["stages"]
        if not (isinstance(shape, list) and len(shape) == 3 and all(type(n) is int for n in shape)):
            raise InvalidInput(f"input_shape must be three whole numbers (height, width, channels), got {shape!r}")
        if not (isinstance(stages, list) and all(isinstance(stage, list) for stage in stages)):
            raise InvalidInput("stages must be a list of lists of ops")
        return cls(
            input_shape=Shape(*shape),
            stages=tuple(
                tuple(_op_from_dict(op, f"op {s}.{i}") for i, op in enumerate(stage)) for s, stage in enumerate(stages)
            ),
            head=_typed(Head, body["head"], "the head"),
            num_classes=_of_type(int, body["num_classes"], "num_classes"),
            padding=body["padding"],
            norm_eps=_of_type(float, body["norm_eps"], "norm_eps"),
            name=_of_type(str, body["name"], "name"),
        )


def load_arch(path: Path) -> ArchSpec:
    """Return the spec in a JSON file, or in a run's `best.json`; raises `InvalidInput` where there is none."""
    data = read_json(path)
    if isinstance(data, dict) and data.get("schema") == "nas.result":
        data = data.get("arch")
    try:
        return ArchSpec.from_dict(data)
    except (InvalidInput, LookupError) as error:
        raise InvalidInput(f"{path}: {error}") from error


def save_arch(arch: ArchSpec, path: Path) -> None:
    """Write the spec to the file `path` as JSON."""
    write_whole(path, arch_json(arch))


def arch_json(arch: ArchSpec, metadata: Mapping[str, str] | None = None) -> str:
    """Return the text of a spec file, with `metadata` beside the architecture, such as where it comes from."""
    return dump_json(arch.to_dict() | ({METADATA: dict(metadata)} if metadata else {}))


def _op_from_dict(data: Any, where: str) -> Op:
    """Return the op of a JSON form; `where` names its place for errors."""
    if not isinstance(data, dict) or not isinstance(data.get("op"), str):
        raise InvalidInput(f"{where} must be an object with a field 'op', got {data!r:.60}")
    try:
        found = op_class(data["op"])
    except UnknownName as error:
        raise InvalidInput(f"{where}: {error}") from error
    return _typed(found, {key: value for key, value in data.items() if key != "op"}, where)


def _typed(cls: type[OpT], data: Any, where: str) -> OpT:
    """Return the op of class `cls` with the fields in `data`, each checked for its type; keys as in `FILE_KEYS`."""
    if not isinstance(data, dict):
        raise InvalidInput(f"{where} must be an object, got {data!r:.60}")
    known = {FILE_KEYS.get(f.name, f.name): f for f in fields(cls)}
    required = {key for key, f in known.items() if f.default is MISSING}
    _check_keys(data, required, set(known), where)
    values = {known[key].name: _field(role_of(known[key]), value, f"{where}: {key}") for key, value in data.items()}
    try:
        return cls(**values)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from error


def _field(role: Role, value: Any, where: str) -> Any:
    """Return the value of an op's field of this role: a plain one, or a tuple of whole numbers."""
    if role.json_type is not list:
        return _of_type(role.json_type, value, where)
    if not (isinstance(value, list) and all(type(item) is int for item in value)):
        raise InvalidInput(f"{where} must be a list of whole numbers, got {value!r:.60}")
    if len(value) > MOST_ITEMS:
        raise InvalidInput(f"{where} must have at most {MOST_ITEMS} entries, got {len(value)}")
    return tuple(value)


def _of_type(expected: Any, value: Any, where: str) -> Any:
    """Return `value` after checking that it is of the plain type `expected`; a whole number is a float too."""
    ok = type(value) in (int, float) if expected is float else type(value) is expected
    if not ok:
        raise InvalidInput(f"{where} must be of type {expected.__name__}, got {value!r:.60}")
    return value


def _check_keys(data: Mapping[str, Any], required: set[str], known: set[str], where: str) -> None:
    """Raise where a required key is missing or a key is unknown."""
    if missing := sorted(required - set(data)):
        raise InvalidInput(f"{where} lacks the field '{missing[0]}'")
    if extra := sorted(set(data) - known):
        raise InvalidInput(f"{where}: {unknown_name('field', extra[0], known)}")
