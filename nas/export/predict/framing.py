"""What the reading of images needs of this package, in predict.py."""

from typing import NamedTuple


class InvalidInput(SystemExit):
    """Raised where an image cannot be read: ends the program with its message."""


class Framing(NamedTuple):
    """How an image gets the proportions of the input, and the grey level behind transparent pixels."""

    fit: str
    background: int
