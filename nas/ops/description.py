"""A description of one op on its input in one line, for tables and plots."""

from typing import Any

from nas.ops import Shape


def describe_op(op: Any, shape: Shape) -> str:
    """Return an op on an input of `shape` as text: name, kernel sizes, channels, stride, squeeze-excite, skip."""
    name = f"UIB {op.variant}" if op.tag == "uib" else op.tag.replace("_", " ")
    if op.tag == "mobile_mqa":
        return f"{name}, {op.heads} heads, key {op.key_dim}, value {op.value_dim}, kv stride {op.kv_stride}"
    kernel_sizes = [getattr(op, field, 0) for field in ("start_dw", "middle_dw", "kernel_size")]
    kernel_sizes += getattr(op, "kernel_sizes", ())
    sizes = "+".join(f"k{size}" for size in kernel_sizes if size)
    expanded = getattr(op, "expanded_channels", 0)
    widths = "-".join(str(n) for n in (shape.channels, expanded, op.out_channels) if n)
    extras = [f"s{op.stride}"] if op.stride > 1 else []
    extras += ["squeeze-excite"] if getattr(op, "se_channels", 0) else []
    extras += ["skip"] if getattr(op, "residual", False) else []
    return ", ".join(item for item in (f"{name} {sizes}".strip(), widths, *extras) if item)
