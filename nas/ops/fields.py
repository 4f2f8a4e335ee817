"""The roles of an op's fields, written as their defaults: `out_channels: int = fields.channels()`.

A role says which values the field takes, what type it has in JSON, and whether it counts channels, which a proxy scales
whatever the field is called. Every field of an op has one; `Op` refuses a class with a field that has none.
"""

import dataclasses
from dataclasses import MISSING, dataclass
from typing import Any, Literal, get_args

PlainAct = Literal["none", "relu", "relu6", "hswish", "gelu", "swish"]  # a function of each number alone
EvoNorm = Literal["evonorm_b0", "evonorm_s0"]  # in place of normalisation and activation, arXiv 2004.02967
Act = Literal[PlainAct, EvoNorm]
Gate = Literal["hard_sigmoid", "sigmoid"]
EVONORMS: dict[str, str] = {"evonorm_b0": "EvoNorm-B0", "evonorm_s0": "EvoNorm-S0"}  # value -> its name in tables
ROLE = "role"  # its key in the metadata of a dataclass field


def plain_act(act: Act) -> PlainAct:
    """Return an activation for a layer without normalisation, as those of a squeeze-excite: ReLU for an EvoNorm."""
    return "relu" if act == "evonorm_b0" or act == "evonorm_s0" else act


@dataclass(frozen=True)
class Role:
    """What the values of a field are: a `kind` with a JSON type, from `minimum` on, odd or 0, or one of `allowed`."""

    kind: Literal["channels", "count", "kernel_size", "kernel_sizes", "stride", "flag", "choice", "number"]
    minimum: int = 1
    allowed: tuple[str, ...] = ()

    @property
    def json_type(self) -> type:
        """The type of a value in JSON: `list` is one of whole numbers."""
        return {"flag": bool, "choice": str, "kernel_sizes": list, "number": float}.get(self.kind, int)

    @property
    def is_window(self) -> bool:
        """Whether the values are kernel sizes, in pixels of one side."""
        return self.kind in ("kernel_size", "kernel_sizes")

    @property
    def is_activation(self) -> bool:
        """Whether the values are activations, EvoNorm among them or not."""
        return set(get_args(PlainAct)) <= set(self.allowed)

    def problem(self, value: Any) -> str:
        """Return what is wrong with a value, "" where nothing is."""
        if self.kind == "choice":
            return "" if value in self.allowed else f"must be one of {', '.join(self.allowed)}, got '{value}'"
        if self.kind == "number":
            return "" if 0 < value < float("inf") else f"must be above 0 and finite, got {value}"
        if self.kind == "kernel_sizes":
            fits = len(value) >= self.minimum and all(size >= 1 and size % 2 for size in value)
            return "" if fits else f"must be odd and at least one, got {list(value)}"
        if self.kind != "flag" and value < self.minimum:
            return f"must be at least {self.minimum}, got {value}"
        return f"must be odd, got {value}" if self.kind == "kernel_size" and value and value % 2 == 0 else ""


def role_of(field: dataclasses.Field[Any]) -> Role:
    """Return the role of a field of an op."""
    role: Role = field.metadata[ROLE]
    return role


def has_role(value: Any) -> bool:
    """Return whether what stands behind a field in its class is one of the functions below."""
    return isinstance(value, dataclasses.Field) and ROLE in value.metadata


def channels(default: Any = MISSING) -> Any:
    """Return a field for a number of channels, at least 1; a proxy scales it."""
    return _field(default, Role("channels"))


def optional_channels(default: Any = 0) -> Any:
    """Return a field for a number of channels; 0 says that the layer is absent, also in a proxy."""
    return _field(default, Role("channels", minimum=0))


def count(default: Any = MISSING) -> Any:
    """Return a field for a number of things that are no channels, such as heads or groups: at least 1, never scaled."""
    return _field(default, Role("count"))


def optional_count(default: Any = 0) -> Any:
    """Return a field for a number of things that are no channels; 0 stands for what the op takes by itself."""
    return _field(default, Role("count", minimum=0))


def positive_number(default: Any = MISSING) -> Any:
    """Return a field for a number above 0, whole or not."""
    return _field(default, Role("number"))


def kernel_size(default: Any = MISSING) -> Any:
    """Return a field for the odd side of a window in pixels."""
    return _field(default, Role("kernel_size"))


def optional_kernel_size(default: Any = 0) -> Any:
    """Return a field for the odd side of a window in pixels; 0 says that the layer is absent."""
    return _field(default, Role("kernel_size", minimum=0))


def kernel_sizes(default: Any = MISSING) -> Any:
    """Return a field for a tuple of odd sides of windows in pixels, at least one."""
    return _field(default, Role("kernel_sizes"))


def optional_kernel_sizes(default: Any = ()) -> Any:
    """Return a field for a tuple of odd sides of windows in pixels, which may be empty."""
    return _field(default, Role("kernel_sizes", minimum=0))


def stride(default: Any = MISSING) -> Any:
    """Return a field for a stride in pixels, at least 1."""
    return _field(default, Role("stride"))


def flag(default: Any = MISSING) -> Any:
    """Return a field that is true or false."""
    return _field(default, Role("flag"))


def choice(values: Any, default: Any = MISSING) -> Any:
    """Return a field for one of the words of a `Literal`, such as `Act`."""
    return _field(default, Role("choice", allowed=get_args(values)))


def _field(default: Any, role: Role) -> Any:
    return dataclasses.field(default=default, metadata={ROLE: role})
