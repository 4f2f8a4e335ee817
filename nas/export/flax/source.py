"""Sources of Flax blocks for a stand-alone file: modules of nas.nn as they are, of other packages the parts in use."""

import ast
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from nas.errors import InvalidInput

OWN = "nas.nn."  # modules that are copied whole
PURE = "nas.ops.mel"  # ... and one of numbers alone, which blocks and ops share
COPIED = (OWN, PURE)
PACKAGE = "nas"
RULE = "# " + "=" * 100


def copied_sources(addresses: Sequence[str]) -> str:
    """Return the text of all modules that the classes at these addresses, "module:attribute", need from nas.nn.

    Modules stand in the order in which they need each other, each under a heading and without its imports from this
    package. Of a module elsewhere only the statements are copied that the class needs, so that one file may hold an op
    and its block. `InvalidInput` where two modules define the same name, or a class needs a module of this package that
    is not in nas.nn.
    """
    order: dict[str, str] = {}  # module -> text
    defined: dict[str, str] = {}  # name -> module
    needed: dict[str, set[str]] = {}
    for address in addresses:
        module, _, attribute = address.partition(":")
        needed.setdefault(module, set()).add(attribute)

    def add(module: str) -> None:
        if module in order:
            return
        source = _read(module)
        tree = ast.parse(source)
        kept = tree.body if module.startswith(COPIED) else _needed(tree.body, needed[module], module)
        for one in _own_imports(kept):
            add(str(one.module))
        for name in _defined(kept):
            if defined.setdefault(name, module) != module:
                raise InvalidInput(f"{module} and {defined[name]} both define {name}; rename one to export as flax")
        order[module] = _text(module, source, tree.body, kept)

    for module in needed:
        add(module)
    return "\n".join(order.values())


def _read(module: str) -> str:
    spec = find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise InvalidInput(f"the source of {module} cannot be read; a Flax export needs it as a file of Python")
    return Path(spec.origin).read_text()


def _own_imports(body: Iterable[ast.stmt]) -> list[ast.ImportFrom]:
    """Return the imports of names from modules that are copied."""
    return [node for node in body if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(COPIED)]


def _is_of_package(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or (node.module or "").split(".")[0] == PACKAGE
    return isinstance(node, ast.Import) and any(one.name.split(".")[0] == PACKAGE for one in node.names)


def _defined(body: Iterable[ast.stmt]) -> set[str]:
    """Return the names that statements at the top of a module define, imports left out."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
    return found


def _needed(body: Sequence[ast.stmt], names: set[str], module: str) -> list[ast.stmt]:
    """Return the statements at the top of a module that define `names` and what these use, in their order."""
    makers: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            makers |= {(one.asname or one.name).split(".")[0]: node for one in node.names}
        makers |= dict.fromkeys(_defined([node]), node)
    kept: set[int] = set()
    open_names = set(names)
    while open_names:
        name = open_names.pop()
        if name not in makers or id(node := makers[name]) in kept:
            continue
        if _is_of_package(node) and node not in _own_imports([node]):
            raise InvalidInput(
                f"{module}: {', '.join(sorted(names))} needs '{ast.unparse(node)}', which a stand-alone model has not; "
                f"a Flax block may import from {OWN.removesuffix('.')} only"
            )
        kept.add(id(node))
        open_names |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return [node for node in body if id(node) in kept]


def _text(module: str, source: str, body: Sequence[ast.stmt], kept: Sequence[ast.stmt]) -> str:
    """Return the lines of a module without its imports from this package, and without what is not in `kept`."""
    whole = module.startswith(COPIED)
    lines = source.splitlines()
    if whole:
        dropped = {number for node in kept if _is_of_package(node) for number in _lines_of(node)}
        text = [line for number, line in enumerate(lines, start=1) if number not in dropped]
        title = f"{module.replace('.', '/')}.py of nas-engine, unchanged"
    else:
        parts = [
            [lines[number - 1] for number in _lines_of(node)]
            + ([] if isinstance(node, ast.Import | ast.ImportFrom) else [""])
            for node in kept
            if not _is_of_package(node)
        ]
        text = [line for part in parts for line in part]
        title = f"from {module}"
    return "\n".join([RULE, f"# {title}", RULE, "", *text, ""])


def _lines_of(node: ast.stmt) -> range:
    """Return the numbers of the lines of a statement, its decorators with it."""
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
    return range(first, (node.end_lineno or node.lineno) + 1)
