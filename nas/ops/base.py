"""`Op`, the base class of all ops: a frozen value of absolute channel counts, checked, with JSON form and kernels."""

import dataclasses
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from inspect import get_annotations
from typing import Any, ClassVar, Self, get_origin

from nas.errors import InvalidInput
from nas.ops.fields import EVONORMS, Act, Gate, Role, has_role, role_of
from nas.ops.graph import Lowering, Value
from nas.ops.kernels import Kernel, Shape

__all__ = ["FILE_KEYS", "Act", "Gate", "Op", "Strided", "with_layer_scale"]

FILE_KEYS = {"kernel_size": "kernel"}  # field -> its key in spec files


@dataclass(frozen=True)
class Op:
    """Base class of all ops; `tag` is the op's name in JSON.

    Each field has a role (nas.ops.fields), which checks its values; a class with a field without one is a `TypeError`.
    `fields_added_later` names the fields that came after the first release: at their default they are absent from
    JSON, so that the digest of an older spec stays what it was.
    """

    tag: ClassVar[str]
    fields_added_later: ClassVar[frozenset[str]] = frozenset()
    is_front_end: ClassVar[bool] = False  # whether it takes waveforms, and its fields decide the size of all maps

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not hasattr(cls, "tag"):  # a base of several ops, which leaves the fields to them
            return
        for name, annotation in get_annotations(cls).items():
            in_class = ClassVar in (annotation, get_origin(annotation)) or "ClassVar" in str(annotation)
            if not in_class and not has_role(cls.__dict__.get(name)):
                raise TypeError(
                    f"{cls.__module__}.{cls.__name__}.{name} has no role; write it as "
                    f"'{name}: ... = fields.channels()' or another function of nas.ops.fields"
                )

    def __post_init__(self) -> None:
        for name, role in self.roles().items():
            if problem := role.problem(getattr(self, name)):
                raise InvalidInput(f"{self.tag}.{FILE_KEYS.get(name, name)} {problem}")
        self.check()

    @classmethod
    def roles(cls) -> dict[str, Role]:
        """Return the roles of the fields by name, in their order."""
        return {field.name: role_of(field) for field in dataclasses.fields(cls)}

    def check(self) -> None:
        """Raise `InvalidInput` where fields contradict each other."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        omitted = {
            field.name
            for field in dataclasses.fields(self)
            if field.name in self.fields_added_later and getattr(self, field.name) == field.default
        }
        values = {FILE_KEYS.get(name, name): value for name, value in asdict(self).items() if name not in omitted}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def arguments(self) -> dict[str, Any]:
        """Return the fields as the op's block takes them, without those added later that are at their default."""
        return {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != field.default or field.name not in self.fields_added_later
        }

    def scaled(self, scale: Callable[[int], int]) -> Self:
        """Return the op with `scale` of every field that counts channels; 0, an absent layer, stays 0."""
        counts = {name: getattr(self, name) for name, role in self.roles().items() if role.kind == "channels"}
        return replace(self, **{name: scale(value) for name, value in counts.items() if value})

    def describe(self, shape: Shape) -> str:
        """Return the op on an input of `shape` in one line: name, kernel sizes, channels, stride, further layers."""
        sizes = "+".join(f"k{size}" for size in self.windows if size)
        widths = "-".join(str(n) for n in (shape.channels, *self.inner_channels, self.out_shape(shape).channels) if n)
        stride = getattr(self, "stride", 1)
        extras = [f"s{stride}"] if stride > 1 else []
        extras += ["squeeze-excite"] if getattr(self, "se_channels", 0) else []
        extras += ["coordinate attention"] if getattr(self, "ca_channels", 0) else []
        extras += [EVONORMS[act]] if (act := getattr(self, "act", "none")) in EVONORMS else []
        extras += ["skip"] if getattr(self, "residual", False) else []
        return ", ".join((f"{self.label} {sizes}".strip(), widths, *extras))

    @property
    def label(self) -> str:
        """The op's name in tables and plots."""
        return self.tag.replace("_", " ")

    @property
    def windows(self) -> tuple[int, ...]:
        """The kernel sizes that `describe` shows; 0 is left out."""
        values = [getattr(self, name) for name, role in self.roles().items() if role.is_window]
        return tuple(size for sizes in values for size in (sizes if isinstance(sizes, tuple) else (sizes,)))

    @property
    def inner_channels(self) -> tuple[int, ...]:
        """The channels between input and output that `describe` shows; 0 is left out."""
        return (getattr(self, "expanded_channels", 0),)

    def out_shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input of `shape`."""
        raise TypeError(f"{type(self).__name__} has no feature map as output")

    def sequence_behind(self, is_sequence: bool) -> bool:
        """Return whether the output is a sequence, whose windows are k x 1, for an input that is one or is none."""
        return is_sequence

    def kernels(self, shape: Shape) -> list[Kernel]:
        """Return the kernels for an input of `shape`, unchecked; `lower` is the checked form."""
        raise TypeError(f"{type(self).__name__} is no op of its own")

    def emit(self, graph: Lowering, x: Value, name: str) -> Value:
        """Add the op `name` on `x` to a graph and return its output, without the residual, which `lower` adds.

        Raises `InvalidInput` where no graph format has what the op needs.
        """
        raise InvalidInput(f"op {name} is {self.tag}, which has no form as a graph yet; choose json or flax")

    def lower(self, shape: Shape) -> list[Kernel]:
        """Return the kernels that run this op on an input of `shape`; `InvalidInput` where a residual does not fit."""
        if getattr(self, "residual", False) and self.out_shape(shape) != shape:
            raise InvalidInput(
                f"{self.tag} has a residual, so its output {tuple(self.out_shape(shape))} must equal its input "
                f"{tuple(shape)}; set residual to false or make stride 1 and the channels equal"
            )
        return self.kernels(shape)


class Strided(Op):
    """An op with a stride and its own number of output channels."""

    out_channels: int
    stride: int

    def out_shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input of `shape`."""
        return shape.strided(self.stride, self.out_channels)


def with_layer_scale(kernel: Kernel, layer_scale: bool) -> Kernel:
    """Return the kernel with the parameters of a layer scale, which a runtime folds into the kernel."""
    return replace(kernel, params=kernel.params + kernel.out_shape.channels * layer_scale)
