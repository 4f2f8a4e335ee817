"""`Size`, the height and width of an image, a map or a sequence, and how it is written: 224, 96x128, 128x1."""

import re
from typing import NamedTuple, TypeAlias

from nas.errors import InvalidInput

LARGEST_SIDE = 1 << 14  # px of an image
LARGEST_STEPS = 1 << 20  # of a sequence: a minute of a waveform at 16 kHz
_WRITTEN = re.compile(r"([1-9][0-9]{0,8})(?:x([1-9][0-9]{0,8}))?", re.ASCII)


class Size(NamedTuple):
    """Height and width of an input in px; of a sequence, its steps and 1."""

    height: int
    width: int

    @property
    def is_square(self) -> bool:
        """Whether both sides are equal."""
        return self.height == self.width

    @property
    def is_sequence(self) -> bool:
        """Whether this is the size of a sequence: several steps, one wide."""
        return self.width == 1 and self.height > 1

    @property
    def positions(self) -> int:
        """Height times width."""
        return self.height * self.width

    @property
    def json(self) -> int | str:
        """The form in files and settings: the side of a square, else "96x128"."""
        return self.height if self.is_square else str(self)

    @property
    def text(self) -> str:
        """The size in messages: "224 px", "96x128 px", "128 steps"."""
        return f"{self.height} steps" if self.is_sequence else f"{self} px"

    def __str__(self) -> str:
        return str(self.height) if self.is_square else f"{self.height}x{self.width}"

    @classmethod
    def of(cls, value: "SizeLike") -> "Size":
        """Return the size that `value` states: a side, a pair, "96" or "96x128"; `InvalidInput` where it is none."""
        if isinstance(value, str) and (found := _WRITTEN.fullmatch(value)):
            return cls(int(found[1]), int(found[2] or found[1]))._checked(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return cls(value, value)._checked(value)
        if isinstance(value, tuple | list) and len(value) == 2 and all(type(side) is int for side in value):
            return cls(*value)._checked(value)
        raise InvalidInput(f"a resolution must be a whole number, or HEIGHTxWIDTH such as 96x128, got {value!r:.40}")

    def _checked(self, value: object) -> "Size":
        """Return the size; `InvalidInput`, which quotes `value`, where a side is out of range."""
        most = LARGEST_STEPS if self.width == 1 else LARGEST_SIDE
        if not (1 <= self.height <= most and 1 <= self.width <= LARGEST_SIDE):
            raise InvalidInput(f"a resolution must be positive and at most {most:,}, got {value!r:.40}")
        return self


SizeLike: TypeAlias = Size | int | str | tuple[int, int]
