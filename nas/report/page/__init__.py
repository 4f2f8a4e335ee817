"""Self-contained HTML pages: a template, a style sheet and plain scripts beside this file, filled with JSON data.

A script fills every element with `data-figure="NAME"`. The data is JSON in the page, with every character escaped that
could end a script or start a tag, so names of networks and runs are always text and never markup.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

SCRIPTS = ("core", "plot", "architecture", "panels", "pair", "pdf", "downloads")  # of every page, in this order
DIGITS = 5  # significant digits of the numbers in a page


def page(title: str, body: str, data: Mapping[str, Any], scripts: Sequence[str]) -> str:
    """Return the page as HTML: `body` is markup, `title` text, `scripts` the names of those beyond `SCRIPTS`."""
    source = "\n".join(asset(f"{name}.js") for name in (*SCRIPTS, *scripts, "start"))
    parts = {"title": escape(title), "style": asset("style.css"), "body": body, "data": json_text(data)}
    return re.sub(r"<!--(\w+)-->", lambda mark: {**parts, "script": source}[mark[1]], asset("page.html"))


@cache
def asset(name: str) -> str:
    """Return a file of this folder as text."""
    return files("nas.report.page").joinpath(name).read_text(encoding="utf-8")


def json_text(data: Any) -> str:
    """Return `data` as JSON for a script element, without the characters "<", ">" and "&".

    Numbers that are not finite, those of altered files say, are null.
    """
    try:
        text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(data), allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _finite(value: Any) -> Any:
    """Return a JSON value with None for every number in it that is not finite."""
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def architecture_place(kind: str = "") -> str:
    """Return the element for the selected network, block by block; `kind` "alone" where nothing stands beside it."""
    name = f"detail {kind}".strip()
    return f'<aside class="{name}" data-figure="architecture" aria-labelledby="architecture-title"></aside>'


def figure_place(name: str, label: str) -> str:
    """Return the element that the script fills with the figure `name`; `label` describes it to screen readers."""
    return f'<div data-figure="{name}" role="group" aria-label="{escape(label)}"></div>'


def rounded(values: Sequence[float]) -> list[float | None]:
    """Return the values with `DIGITS` significant digits, None for NaN."""
    return [None if value != value else float(f"{value:.{DIGITS}g}") for value in values]
