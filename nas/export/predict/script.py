"""Writes predict.py: the program beside an exported model, put together from sources of this package.

It reads images by the very code of nas.data.framing, and .wav files by that of nas.data.waveform, so that a network
gets the pixels and the samples that it was trained with.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable
from importlib.resources import files

from nas.export.packages import PYPI_NAMES

READING = ("nas.export.predict", "framing.py"), ("nas.data", "framing.py"), ("nas.data", "waveform.py")
PROGRAM = ("nas.export.predict", "main.py")
HEAD = '''"""Predicts by {model} for images, by the preprocessing of its training: a class, labels or numbers.

    python predict.py IMAGE [IMAGE ...]

A model that takes maps or sequences of numbers wants .npy files, one array each, in place of images, one that takes
waveforms .wav files.
Needs numpy, pillow and {runtime}; sizes, normalisation and class names come from the model's own metadata. Written by
nas-engine, which it does not need.
"""
'''


def predict_script(form: str, model: str, *packages: str) -> str:
    """Return the text of predict.py for the file `model` beside it, in the format `form`, run by `packages`."""
    parts = [*READING, ("nas.export.predict", f"{form}_model.py"), PROGRAM]
    sources = [files(package).joinpath(name).read_text() for package, name in parts]
    body = "\n\n\n".join(_body(source).strip() for source in sources)
    runtime = " and ".join(PYPI_NAMES.get(package, package) for package in packages)
    head = HEAD.format(model=_quotable(model), runtime=runtime)
    return f"{head}\n{chr(10).join(_imports(sources))}\n\n\n{body}\n".replace('MODEL = "model"', f"MODEL = {model!r}")


def _imports(sources: Iterable[str]) -> list[str]:
    """Return the imports at the top of the modules, a line per imported module, those of this package left out."""
    whole, names = set[str](), defaultdict[str, set[str]](set)
    for node in (node for source in sources for node in ast.parse(source).body):
        if isinstance(node, ast.Import):
            whole.add(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("nas."):
            names[node.module or ""] |= {
                alias.name if alias.asname is None else f"{alias.name} as {alias.asname}" for alias in node.names
            }
    return [*sorted(whole), *(f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names))]


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _body(source: str) -> str:
    """Return the text of a module behind its docstring and its imports."""
    first = next(node for node in ast.parse(source).body[1:] if not _is_import(node))
    start = min([first.lineno, *(one.lineno for one in getattr(first, "decorator_list", []))])
    return "\n".join(source.splitlines()[start - 1 :])


def _quotable(text: str) -> str:
    """Return text that is safe inside a docstring."""
    return "".join(c if c.isprintable() and c not in '\\"' else "_" for c in text)
