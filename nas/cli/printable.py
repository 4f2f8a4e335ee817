"""Text from outside as a terminal may see it: without control characters, and of a length that a line can have.

Names in files, paths and values of flags reach the terminal in refusals, tables and notes. An escape sequence in one of
them could clear the screen, rename the window or hide what follows.
"""

import re
import sys
import warnings
from typing import Any

LONGEST_WORD = 200  # characters without a blank that are shown whole
LONGEST_LINE = 900  # of a message
SHOWN_OF_WORD = (80, 40)  # characters from the beginning and from the end of a longer one
# Control characters but the line feed and the tab, halves of surrogate pairs (bytes that are no UTF-8), and what turns
# the direction of text or ends a line.
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Return `text` with every character that a terminal would act on written out, as \x1b."""
    return HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def in_one_line(message: str) -> str:
    """Return a message as one printable line, its long words and the whole cut in the middle."""
    words = " ".join(_cut(word, LONGEST_WORD, SHOWN_OF_WORD) for word in printable(message).split())
    return _cut(words, LONGEST_LINE, (LONGEST_LINE * 2 // 3, LONGEST_LINE // 4))


def _cut(text: str, most: int, shown: tuple[int, int]) -> str:
    """Return `text`, or its two ends where it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: shown[0]]}...{text[-shown[1] :]}"


def show_warnings_in_one_line() -> None:
    """Let every warning of a library be one line, without the place in its code."""
    warnings.showwarning = _show_warning


def _show_warning(message: Warning | str, *rest: Any, **more: Any) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"warning: {in_one_line(str(message))}\n")
