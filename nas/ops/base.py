"""`Op`, the base class of all ops: a frozen value of absolute channel counts, checked, with JSON form and kernels."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Literal, get_args

from nas.errors import InvalidInput
from nas.ops.kernels import Kernel, Shape

Act = Literal["none", "relu", "relu6", "hswish", "gelu", "swish"]
Gate = Literal["hard_sigmoid", "sigmoid"]
FILE_KEYS = {"kernel_size": "kernel"}  # field -> its key in spec files


@dataclass(frozen=True)
class Op:
    """Base class of all ops; `tag` is the op's name in JSON.

    `fields_added_later` names the fields that came after the first release: at their default they are absent from
    JSON, so that the digest of an older spec stays what it was.
    """

    tag: ClassVar[str]
    fields_added_later: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        for field in fields(self):
            value, minimum = getattr(self, field.name), int(field.name not in _MAY_BE_ZERO)
            where = f"{self.tag}.{FILE_KEYS.get(field.name, field.name)}"
            if isinstance(value, int) and not isinstance(value, bool) and value < minimum:
                raise InvalidInput(f"{where} must be at least {minimum}, got {value}")
            if field.name in _ODD and value and value % 2 == 0:
                raise InvalidInput(f"{where} must be odd, got {value}")
            allowed = get_args(_CHOICES.get(field.name))
            if allowed and value not in allowed:
                raise InvalidInput(f"{where} must be one of {', '.join(allowed)}, got '{value}'")
        self.check()

    def check(self) -> None:
        """Raise `InvalidInput` where fields contradict each other."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        omitted = {
            f.name for f in fields(self) if f.name in self.fields_added_later and getattr(self, f.name) == f.default
        }
        values = {FILE_KEYS.get(name, name): value for name, value in asdict(self).items() if name not in omitted}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def out_shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input of `shape`."""
        raise TypeError(f"{type(self).__name__} has no feature map as output")

    def kernels(self, shape: Shape) -> list[Kernel]:
        """Return the kernels for an input of `shape`, unchecked; `lower` is the checked form."""
        raise TypeError(f"{type(self).__name__} is no op of its own")

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


_MAY_BE_ZERO = {"start_dw", "middle_dw", "expanded_channels", "se_channels", "hidden"}

_ODD = {"kernel_size", "start_dw", "middle_dw"}

_CHOICES: dict[str, Any] = {"act": Act, "se_act": Act, "se_gate": Gate}


def with_layer_scale(kernel: Kernel, layer_scale: bool) -> Kernel:
    """Return the kernel with the parameters of a layer scale, which a runtime folds into the kernel."""
    return replace(kernel, params=kernel.params + kernel.out_shape.channels * layer_scale)
