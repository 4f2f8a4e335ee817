"""Blocks that no stand-alone file can hold."""

from typing import Any

from flax import nnx

from nas.arch import ArchSpec


class NeedsTheEngine(nnx.Module):
    """Uses the engine itself."""

    arch: ArchSpec


class Linear(nnx.Module):
    """Has the name of a layer."""


class Twice(nnx.Module):
    """Uses a class with the name of a layer."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.linear = Linear()
