"""How easy is the source to find one's way in? Figures of its plan, of a former commit beside the working tree.

Prints one table: what the packages nas, search_spaces and latency_models looked like at the commit `--base` (read with
`git archive` into a temporary folder), and what they look like now (all files that git tracks or would track):

- modules that lie flat in nas/, and levels of the import contract in pyproject.toml;
- import cycles, where imports inside functions and under `if TYPE_CHECKING` count like all others: between packages
  (each folder of nas/ with all below it, each module that lies flat in nas/, latency_models, search_spaces) and between
  modules. A cycle here is a largest set of which each reaches each other. Names that a registry imports from a string,
  and modules that `nas.registry.lazy` stands in for outside of `if TYPE_CHECKING`, are not seen;
- arrows: pairs of packages of which one imports the other, and the same with finer nodes (each folder, and each module
  that lies flat in nas/ or latency_models/);
- import statements inside functions, and those under `if TYPE_CHECKING`;
- class names that two or more modules define;
- repeated runs: pairs of places of 6 or more equal lines in a row, without blank lines, comments, imports and lines of
  punctuation alone. Six lines that stand in more than 8 places are left out;
- words of the old dialect, as whole words, also within names (held_out, HeldOut), in the code, its tests, its pages,
  the studies that lie flat in experiments/ and the documents. A word that is odd only as a name is counted in names
  alone: identifiers, paths of modules, text between backticks. Old names that stand as quoted keys, because files on
  disk have them, are counted apart, as are phrases that files keep; names of data files are not counted.

Command: python -m experiments.structure [--base REV] [--verbose] [--json]
"""

import argparse
import ast
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import tokenize
import tomllib
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from itertools import combinations, pairwise
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
BASE = "dda5e84"
PACKAGES = ("nas", "search_spaces", "latency_models")
FLAT = ("nas", "latency_models")  # folders of which every module is a room of its own
RUN, COMMON = 6, 8  # lines of a repeated run; places above which a run says nothing

Graph = Mapping[str, set[str]]


class Refusal(Exception):
    """What cannot be measured, said in one line."""


# ------------------------------------------------------------------------------------------------ the old dialect


class Word(NamedTuple):
    """A word of the old dialect: what stands for it now, its pattern in names and in prose ("" where it is fine)."""

    name: str
    instead: str
    names: str
    prose: str


def everywhere(name: str, instead: str, pattern: str) -> Word:
    """Return a word that counts in names and in prose."""
    return Word(name, instead, pattern, pattern)


def in_names(name: str, instead: str, pattern: str) -> Word:
    """Return a word that counts in names alone."""
    return Word(name, instead, pattern, "")


# Names are matched with their words joined by "_": heldOut and HELD_OUT both read held_out, whatever the case.
WORDS = (
    everywhere("picture(s)", "image, example", "pictures?"),
    everywhere("held out", "validation", r"held[\s_-]+out"),
    everywhere("wanted latency", "latency budget", r"wanted[\s_-]+latency"),
    everywhere("land, landed, landing", "project to the constraint", "land(?:s|ed|ings?)?"),
    everywhere("verdict(s)", "ranking", "verdicts?"),
    everywhere("contest(s)", "candidate re-training", "contests?"),
    everywhere("champion(s)", "incumbent", "champions?"),
    everywhere("entrant(s)", "top-k", "entrants?"),
    everywhere("yardstick(s)", "baselines", "yardsticks?"),
    everywhere("anatomy", "network summary", "anatomy"),
    Word("course(s)", "history", "courses?", r"courses?\s+of\s+the\s+search"),
    everywhere("tunas", "joint training", "(?-i:tunas|Tunas|TUNAS)"),  # TuNAS is the proper name of the method
    everywhere("oneshot", "sandwich", "one_?shot"),
    everywhere("idle", "policy warm-up", "idle"),
    everywhere("drawn", "sampled", "drawn"),
    everywhere("told", "history", "told"),
    in_names("first_state", "init_state", "first_state"),
    in_names("quiet_residuals", "zero_init_residual", "quiet_residuals"),
    in_names("first_rows", "mask_input_channels", "first_rows"),
    in_names("Picker", "(a class)", "(?-i:Picker)"),
    in_names("Bank", "(a class)", "(?-i:Bank)"),
    in_names("kept_strides", "-", "kept_strides"),
    everywhere("proxied", "-", "proxied"),
    in_names("last_map", "-", "last_map"),
    everywhere("cheapest", "-", "cheapest"),
    everywhere("dearest", "-", "dearest"),
    in_names("feed(s)", "-", "feeds?"),
    in_names("gene(s)", "-", "genes?"),
    in_names("slot(s)", "-", "slots?"),
    in_names("filling", "(a module)", "filling"),
    in_names("observing", "(a module)", "observing"),
    in_names("delivery", "(a module)", "delivery"),
    everywhere("rightly", "accuracy", "rightly"),
    everywhere("right answers", "accuracy", r"right[\s_-]+answers"),
)

# Keys of files on disk that earlier versions wrote: as whole quoted strings in Python they may stay.
FILE_KEYS = frozenset(
    {
        "pictures", "eval_pictures", "wanted_latency", "held_out_fraction", "held_out_mape_percent", "idle_fraction",
        "idle_steps", "landed", "verdict", "told", "gene", "genes", "cheapest", "dearest",
    }
)  # fmt: skip

# Phrases of values that files on disk keep, so that old and new accuracies compare (nas/records/results.py).
FILE_PHRASES = ("held-out pictures", "test pictures", "held-out error", "pictures of")

READ_FOR_WORDS = (*PACKAGES, "tests", "docs")
SUFFIXES = (".py", ".md", ".js", ".html")
NOT_READ = ("experiments/structure.py", "tests/experiments/test_structure.py")  # they name the words on purpose

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
QUOTED = re.compile(r"```(?P<block>.+?)```|(?P<ticks>``?)(?P<code>(?:(?!\n\s*\n)[^`])+)(?P=ticks)", re.DOTALL)
DOTTED = re.compile(r"\b(?:nas|search_spaces|latency_models|experiments|tests)(?:\.[A-Za-z_]\w*)+|[\w./-]*\w\.py\b")
COMPOUND = re.compile(r"\b(?=\w*(?:_|[a-z][A-Z]))[A-Za-z_]\w*")
DATA_FILE = re.compile(
    r"[\w./*{}-]*[\w*}]\.(?:csv|jsonl?|npz|npy|png|svg|toml|onnx|tflite|safetensors|msgpack|html|js|css|md)\b"
)
SCRIPT = re.compile(
    r"(?P<prose>//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')|`(?P<template>(?:\\.|[^`\\])*)`",
    re.DOTALL,
)
PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")


@dataclass
class Vocabulary:
    """What a file says: its names (words joined by "_"), its prose, and quoted keys that files on disk have."""

    names: list[str] = field(default_factory=list)
    prose: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def add_code(self, text: str) -> None:
        """Take every name of `text`."""
        self.names += ["_".join(PART.findall(name)) for name in NAME.findall(text)]

    def add_prose(self, text: str) -> None:
        """Take `text` as prose, and as names what is quoted as code, is a path, or can only be a name."""
        for pattern in (QUOTED, DATA_FILE, DOTTED, COMPOUND):
            for found in pattern.finditer(text):
                self.add_code(DATA_FILE.sub(" ", found[found.lastgroup or 0]))
            text = pattern.sub(" | ", text)
        self.prose.append(text)

    def counts(self) -> Counter[str]:
        """Return how often each word of the old dialect stands here."""
        names, prose = " | ".join(self.names), " | ".join(self.prose)
        found = Counter[str]()
        for word in WORDS:
            for pattern, text in ((word.names, names), (word.prose, prose)):
                if pattern:
                    found[word.name] += len(re.findall(rf"(?<![A-Za-z])(?:{pattern})(?![A-Za-z])", text, re.IGNORECASE))
        return found


def python_vocabulary(module: "Module") -> Vocabulary:
    """Return the names, the prose (strings and comments) and the quoted keys of a Python file."""
    said = Vocabulary()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                if node.value in FILE_KEYS:
                    said.keys.append(node.value)
                elif re.fullmatch(r"[A-Za-z_][\w.:]*", node.value) and not DATA_FILE.fullmatch(node.value):
                    said.add_code(node.value)
                else:
                    said.keys += [phrase for phrase in FILE_PHRASES if phrase in node.value]
                    said.add_prose(reduce(lambda text, phrase: text.replace(phrase, " "), FILE_PHRASES, node.value))
            continue
        if isinstance(node, ast.keyword) and node.arg == "slots":  # @dataclass(slots=True) is Python's own word
            continue
        for _, value in ast.iter_fields(node):
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, str) and part != "__slots__":
                    said.add_code(part)
    for comment in comments(module.text):
        said.add_prose(comment)
    return said


def comments(text: str) -> list[str]:
    """Return the comments of a Python file, those of lines that follow each other joined."""
    found: list[str] = []
    last = -1
    for token in tokens(text):
        if token.type == tokenize.COMMENT:
            words, line = token.string.lstrip("#"), token.start[0]
            if line == last + 1 and found:
                found[-1] += "\n" + words
            else:
                found.append(words)
            last = line
    return found


def script_vocabulary(text: str) -> Vocabulary:
    """Return the names and the prose (strings and comments) of a JavaScript file."""
    said = Vocabulary()
    for found in SCRIPT.finditer(text):
        if found["template"] is None:
            said.add_prose(found["prose"].strip("\"'"))
        else:
            said.add_code(" ".join(PLACEHOLDER.findall(found["template"])))
            said.add_prose(PLACEHOLDER.sub(" | ", found["template"]))
    said.add_code(SCRIPT.sub(" ", text))
    return said


def vocabulary(root: Path, path: str) -> Vocabulary:
    """Return what a file of any kind says, the name of a module included."""
    if path.endswith(".py"):
        said = python_vocabulary(read_module(root, path))
        said.add_code(PurePosixPath(path).stem)
    elif path.endswith(".js"):
        said = script_vocabulary((root / path).read_text(encoding="utf-8"))
    else:
        said = Vocabulary()
        said.add_prose((root / path).read_text(encoding="utf-8"))
    return said


def read_for_words(paths: Iterable[str]) -> list[str]:
    """Return the paths of files whose words count."""

    def counts(path: str) -> bool:
        top, _, rest = path.partition("/")
        flat_study = top == "experiments" and "/" not in rest and path.endswith(".py")
        is_read = path == "README.md" or flat_study or (top in READ_FOR_WORDS and path.endswith(SUFFIXES))
        return is_read and not path.startswith("tests/data/") and path not in NOT_READ

    return [path for path in paths if counts(path)]


# ------------------------------------------------------------------------------------------------ modules and imports


@dataclass(frozen=True)
class Module:
    """A Python file: its path below the root, its dotted name, its text and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The dotted name; that of the folder for __init__.py."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def folder(self) -> str:
        """The dotted name of the folder that the file lies in."""
        return str(PurePosixPath(self.path).parent).replace("/", ".")

    @property
    def room(self) -> str:
        """The room: the module itself where it lies flat in nas/ or latency_models/, elsewhere its folder."""
        return self.name if self.folder in FLAT else self.folder

    @property
    def node(self) -> str:
        """The coarser node: a module flat in nas/, a folder of nas/ with all below it, or another whole package."""
        if self.folder == "nas":
            return self.name
        return ".".join(self.folder.split(".")[: 2 if self.folder.startswith("nas.") else 1])

    @cached_property
    def imports(self) -> tuple["Import", ...]:
        """All import statements, wherever they stand."""
        return tuple(imports_below(self.tree))


class Import(NamedTuple):
    """An import statement and where it stands."""

    statement: ast.Import | ast.ImportFrom
    in_function: bool
    type_only: bool


def read_module(root: Path, path: str) -> Module:
    """Return a Python file, parsed."""
    text = (root / path).read_text(encoding="utf-8")
    try:
        return Module(path, text, ast.parse(text))
    except SyntaxError as error:
        raise Refusal(f"{path}, line {error.lineno}: {error.msg}") from error


def read_modules(root: Path, paths: Iterable[str]) -> list[Module]:
    """Return the modules of the packages."""
    return [read_module(root, path) for path in paths if path.endswith(".py") and path.split("/")[0] in PACKAGES]


def imports_below(node: ast.AST, in_function: bool = False, type_only: bool = False) -> Iterator[Import]:
    """Yield every import statement below a node of the syntax tree."""
    guarded = isinstance(node, ast.If) and ast.unparse(node.test).split(".")[-1] == "TYPE_CHECKING"
    within = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    for child in ast.iter_child_nodes(node):
        typed = type_only or (guarded and isinstance(node, ast.If) and child in node.body)
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield Import(child, within, typed)
        else:
            yield from imports_below(child, within, typed)


def imported(statement: ast.Import | ast.ImportFrom, module: Module, known: Container[str]) -> set[str]:
    """Return which known modules a statement imports; of `from package import name`, the submodule where it is one."""
    if isinstance(statement, ast.Import):
        return {alias.name for alias in statement.names if alias.name in known}
    base = statement.module or ""
    if statement.level:
        above = module.folder.split(".")
        base = ".".join([*above[: len(above) - statement.level + 1], *([base] if base else [])])
    asked = {f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in statement.names}
    return {name for name in asked if name in known}


def import_graph(modules: Sequence[Module]) -> dict[str, set[str]]:
    """Return which modules each module imports, wherever the statement stands."""
    known = {module.name for module in modules}
    return {
        module.name: set().union(*(imported(each.statement, module, known) for each in module.imports)) - {module.name}
        for module in modules
    }


def grouped(graph: Graph, group: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the graph between groups of nodes, without arrows within a group."""
    found: dict[str, set[str]] = {group[name]: set() for name in graph}
    for name, targets in graph.items():
        found[group[name]] |= {group[target] for target in targets} - {group[name]}
    return found


def cycles(graph: Graph) -> list[list[str]]:
    """Return the import cycles: the largest sets of two or more nodes of which each reaches each other."""
    reached = {name: reachable(graph, name) for name in graph}
    sets = {frozenset(other for other in reached[name] if name in reached[other]) for name in graph}
    return sorted(sorted(each) for each in sets if len(each) > 1)


def reachable(graph: Graph, start: str) -> set[str]:
    """Return the nodes that can be reached from `start`."""
    found: set[str] = set()
    left = [start]
    while left:
        new = graph[left.pop()] - found
        found |= new
        left += new
    return found


def arrows(graph: Graph) -> list[str]:
    """Return the pairs of nodes of which the first imports the second."""
    return sorted(f"{name} -> {target}" for name, targets in graph.items() for target in targets)


def doubled_classes(modules: Sequence[Module]) -> dict[str, list[str]]:
    """Return the names of classes that two or more modules define, and these modules."""
    found = defaultdict(set)
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                found[node.name].add(module.name)
    return {name: sorted(where) for name, where in sorted(found.items()) if len(where) > 1}


def contract_levels(root: Path) -> int:
    """Return the number of levels of the import contract; 0 where there is none."""
    file = root / "pyproject.toml"
    settings = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    contracts = settings.get("tool", {}).get("importlinter", {}).get("contracts", [])
    return sum(len(contract.get("layers", [])) for contract in contracts if contract.get("type") == "layers")


# ------------------------------------------------------------------------------------------------ repeated lines


class Line(NamedTuple):
    """A line that counts: its number in the file, and its text with white space folded."""

    number: int
    text: str


class Repeat(NamedTuple):
    """Two places of equal lines: path and first line of each, and how many lines."""

    first: str
    second: str
    lines: int


def tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    """Yield the tokens of a Python file."""
    return tokenize.generate_tokens(io.StringIO(text).readline)


def normalised(module: Module) -> list[Line]:
    """Return the lines of a module that count: no blank ones, comments, imports, nor punctuation alone."""
    lines = dict(enumerate(module.text.split("\n"), 1))
    for token in tokens(module.text):
        if token.type == tokenize.COMMENT:
            lines[token.start[0]] = lines[token.start[0]][: token.start[1]]
    for each in module.imports:
        for number in range(each.statement.lineno, (each.statement.end_lineno or each.statement.lineno) + 1):
            lines.pop(number, None)
    return [Line(number, " ".join(line.split())) for number, line in lines.items() if re.search(r"\w", line)]


def repeated_runs(modules: Sequence[Module]) -> list[Repeat]:
    """Return the pairs of places with 6 or more equal lines, each pair as long as it goes."""
    files = [(module.path, normalised(module)) for module in modules]
    places = defaultdict(list)
    for number, (_, lines) in enumerate(files):
        for start in range(len(lines) - RUN + 1):
            places[tuple(line.text for line in lines[start : start + RUN])].append((number, start))
    starts = defaultdict(list)  # of equal windows, by the two files and the distance between the places
    for where in places.values():
        if len(where) <= COMMON:
            for (a, i), (b, j) in combinations(where, 2):
                if a != b or j - i >= RUN:
                    starts[a, b, j - i].append(i)
    found = []
    for (a, b, distance), windows in starts.items():
        for first, last in stretches(sorted(windows)):
            one, other = files[a][1][first].number, files[b][1][first + distance].number
            found.append(Repeat(f"{files[a][0]}:{one}", f"{files[b][0]}:{other}", last - first + RUN))
    return sorted(found)


def stretches(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and last of each stretch of numbers that follow each other."""
    breaks = [i for i in range(1, len(numbers)) if numbers[i] != numbers[i - 1] + 1]
    edges = [0, *breaks, len(numbers)]
    return [(numbers[low], numbers[high - 1]) for low, high in pairwise(edges) if low < high]


# ------------------------------------------------------------------------------------------------ all of a tree

LABELS = {
    "flat_modules": "modules that lie flat in nas/",
    "contract_levels": "levels of the import contract",
    "room_cycles": "import cycles between packages",
    "rooms_in_cycles": "  packages in them",
    "module_cycles": "import cycles between modules",
    "modules_in_cycles": "  modules in them",
    "local_imports": "imports inside functions",
    "own_local_imports": "  of them, of the project's own modules",
    "type_only_imports": "imports under TYPE_CHECKING",
    "doubled_classes": "class names defined in two or more modules",
    "repeated_runs": "repeated runs of 6 or more lines",
    "room_arrows": "arrows between rooms",
    "node_arrows": "arrows between modules flat in nas/ and folders",
    "modules": "modules in all",
    "rooms": "rooms in all",
}


@dataclass(frozen=True)
class Survey:
    """The figures of a tree, its words of the old dialect, the old keys of files on disk, and what is behind them."""

    figures: dict[str, int]
    words: dict[str, int]
    file_keys: int
    details: dict[str, list[str]]


def survey(root: Path, paths: Sequence[str]) -> Survey:
    """Return the figures of the tree at `root`, of which `paths` are the files that count."""
    modules = read_modules(root, paths)
    graph = import_graph(modules)
    rooms = grouped(graph, {module.name: module.room for module in modules})
    nodes = grouped(graph, {module.name: module.node for module in modules})
    found = [(module, each) for module in modules for each in module.imports]
    local = [(module, each) for module, each in found if each.in_function and not each.type_only]
    own = [(module, each) for module, each in local if imported(each.statement, module, graph.keys())]
    typed = [(module, each) for module, each in found if each.type_only]
    flat = [module.path for module in modules if module.folder == "nas"]
    room_cycles, module_cycles, repeats = cycles(nodes), cycles(graph), repeated_runs(modules)
    doubled = doubled_classes(modules)
    room_arrows, node_arrows = arrows(rooms), arrows(nodes)
    files = {path: vocabulary(root, path) for path in read_for_words(paths)}
    words, word_places = summed_words({path: said.counts() for path, said in files.items()})
    return Survey(
        figures={
            "flat_modules": len(flat),
            "contract_levels": contract_levels(root),
            "room_cycles": len(room_cycles),
            "rooms_in_cycles": sum(map(len, room_cycles)),
            "module_cycles": len(module_cycles),
            "modules_in_cycles": sum(map(len, module_cycles)),
            "local_imports": len(local),
            "own_local_imports": len(own),
            "type_only_imports": len(typed),
            "doubled_classes": len(doubled),
            "repeated_runs": len(repeats),
            "room_arrows": len(room_arrows),
            "node_arrows": len(node_arrows),
            "modules": len(modules),
            "rooms": len(rooms),
        },
        words=words,
        file_keys=sum(len(said.keys) for said in files.values()),
        details={
            "room_cycles": [", ".join(each) for each in room_cycles],
            "module_cycles": [", ".join(each) for each in module_cycles],
            "own_local_imports": [shown(*each) for each in own],
            "type_only_imports": [shown(*each) for each in typed],
            "doubled_classes": [f"{name}: {', '.join(where)}" for name, where in doubled.items()],
            "repeated_runs": [f"{each.first} and {each.second}: {each.lines} lines" for each in repeats],
            "node_arrows": node_arrows,
            "words": word_places,
        },
    )


def summed_words(counts: Mapping[str, Counter[str]]) -> tuple[dict[str, int], list[str]]:
    """Return how often each word stands in all files, and one line for each word that says in which."""
    totals = {word.name: sum(each[word.name] for each in counts.values()) for word in WORDS}
    where = [
        f"{name}: {', '.join(f'{path} {each[name]}' for path, each in counts.items() if each[name])}"
        for name, total in totals.items()
        if total
    ]
    return totals, where


def shown(module: Module, each: Import) -> str:
    """Return an import statement with its place, in one line."""
    return f"{module.path}:{each.statement.lineno}: {ast.unparse(each.statement)}"


# ------------------------------------------------------------------------------------------------ two trees


def git(root: Path, *argv: str) -> bytes:
    """Return what git prints; refuse where it fails or is not there."""
    try:
        return subprocess.run(["git", "-C", str(root), *argv], capture_output=True, check=True).stdout
    except FileNotFoundError as error:
        raise Refusal("git is not there") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise Refusal(said[0] if said else f"git {argv[0]} failed") from error


def working_files(root: Path) -> list[str]:
    """Return the files of the working tree that git tracks or does not ignore."""
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").decode().split("\0")
    return sorted({path for path in listed if path and (root / path).is_file()})


def commit_of(root: Path, revision: str) -> str:
    """Return the commit that a revision names."""
    try:
        found = git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except Refusal as refusal:
        raise Refusal(f"no such revision: {revision!r}") from refusal
    return found.decode().strip()


def survey_commit(root: Path, revision: str) -> Survey:
    """Return the figures of a former commit, unpacked into a temporary folder."""
    archive = git(root, "archive", "--format=tar", commit_of(root, revision))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        return survey(folder, paths)


def table(before: Survey, after: Survey) -> str:
    """Return the figures of two trees, one under the other in aligned columns."""
    rows: list[tuple[str, Any, Any]] = [("", "before", "after")]
    rows += [(label, before.figures[key], after.figures[key]) for key, label in LABELS.items()]
    rows += [("", "", ""), ("words of the old dialect -> what stands for them", "", "")]
    rows += [
        (f"  {word.name}" + (f" -> {word.instead}" if word.instead != "-" else ""), before.words[word.name],
         after.words[word.name])
        for word in WORDS
    ]  # fmt: skip
    rows += [
        ("  all words", sum(before.words.values()), sum(after.words.values())),
        ("  keys of files on disk, counted apart", before.file_keys, after.file_keys),
    ]
    width = max(len(label) for label, *_ in rows)
    return "\n".join(f"{label:{width}}{one:>9}{other:>9}".rstrip() for label, one, other in rows)


def behind(before: Survey, after: Survey) -> str:
    """Return what is behind the figures, before and after, as lists."""
    lines = []
    for key, old in before.details.items():
        for when, found in (("before", old), ("after", after.details[key])):
            lines += ["", f"{LABELS.get(key, 'words of the old dialect').strip()}, {when}: {len(found) or 'none'}"]
            lines += [f"  {each}" for each in found]
    return "\n".join(lines)


def as_json(found: Survey, verbose: bool) -> dict[str, Any]:
    """Return the figures of a tree as JSON has them."""
    body = {**found.figures, "words": found.words, "all_words": sum(found.words.values()), "file_keys": found.file_keys}
    return {**body, "details": found.details} if verbose else body


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures of a former commit and of the working tree; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--base", default=BASE, metavar="REV", help="the commit of before (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="also list what is behind the figures")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args(argv)
    try:
        before, after = survey_commit(ROOT, args.base), survey(ROOT, working_files(ROOT))
    except Refusal as refusal:
        print(f"structure: {refusal}", file=sys.stderr)
        return 2
    if args.json:
        both = {"base": args.base, "before": as_json(before, args.verbose), "after": as_json(after, args.verbose)}
        print(json.dumps(both, indent=2))
    else:
        print(table(before, after))
        if args.verbose:
            print(behind(before, after))
    return 0


if __name__ == "__main__":
    sys.exit(main())
