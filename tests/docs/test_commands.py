"""README.md and docs/: commands parse and name what exists, marked blocks run, messages are printed, links resolve."""

import argparse
import fnmatch
import re
import runpy
import shlex
import shutil
import tomllib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

from latency_models.target import find_targets, load_target, target_names
from nas import registry
from nas.cli import main
from nas.cli.commands import COMMANDS
from nas.cli.parser import build_parser
from nas.runs import joint_search, multi_target
from nas.runs.multi_target_settings import MultiTargetConfig
from nas.runs.plan import SearchPlan, make_plan
from nas.runs.settings import SearchConfig
from nas.search.strategy import strategy
from nas.supernet.presets import PRESETS, SMOKE
from nas.zoo import ZOO
from tests.conftest import ROOT
from tests.docs.pages import SHELL, Block, Page, commands_of

PAGES = {str(path.relative_to(ROOT)): Page(path) for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])}
README, QUICKSTART, TROUBLESHOOTING = (
    PAGES[name] for name in ("README.md", "docs/quickstart.md", "docs/troubleshooting.md")
)
SEARCH = "nas search --target edgetpu --latency-ms 0.8 --out runs/mine"  # the first command of both, run once
SHORTER = {  # added to commands where tests run them: the last of equal flags counts
    "train": "--epochs 1",
    "measure": "--rounds 1 --repeats 1",
    "calibrate": "--propose 6 --resolution 32",
}


def shown(program: str, *, dialogues: bool = True) -> list[tuple[str, list[str]]]:
    """Return the commands of a program in the blocks and the tables of results, with their pages.

    Those of `dialogues`, of blocks that show what is printed, are refused.
    """
    found = []
    for name, page in PAGES.items():
        blocks = [command for block in page.blocks if block.language in SHELL for command in block.commands]
        cells = [
            command for *_, cell in page.claims for code in re.findall("`(.+?)`", cell) for command in commands_of(code)
        ]
        refused = [words for command, _ in page.dialogues for words in commands_of(command) if dialogues]
        found += [(name, words) for words in (*blocks, *cells, *refused) if words[0] == program]
    return found


def label(value: object) -> str:
    """Return how pytest names a parameter: the command, or the page."""
    return " ".join(value[1:]) if isinstance(value, list) else str(value)


# ------------------------------------------------------------------------------------------------- commands and names


@pytest.mark.parametrize(("page", "words"), shown("nas"), ids=label)
def test_a_command_parses_and_names_what_exists(page: str, words: list[str]) -> None:
    args = build_parser(words[1:]).parse_args(words[1:])
    if args.version:
        return
    assert args.command == words[1]
    for target in _names(args, "target", "targets", "like"):
        assert target.endswith(".toml") or target in ("edgtpu", "all") or find_targets(target) or load_target(target)
    for network in [*getattr(args, "specs", ()), *getattr(args, "items", ()), getattr(args, "spec", "zoo")]:
        assert "/" in network or network.endswith(".csv") or network in (*ZOO, "zoo", "RUN"), network
    assert not _names(args, "space") or args.space in registry.SPACES
    assert not _names(args, "runtime") or args.runtime in registry.RUNTIMES
    assert not _names(args, "preset") or args.preset in PRESETS
    assert not _names(args, "algorithm") or strategy(args.algorithm)
    assert not _names(args, "format") or args.format in registry.EXPORTERS
    for data in _names(args, "data", "calibration"):
        assert data in (*registry.DATA_SETS, "fashionmnist") or data.endswith(("/", ".npz", ".csv"))


def can_be_planned(words: list[str]) -> bool:
    """Return whether a command is a search that needs no file which a reader would have."""
    of_readers = re.compile(r".*(/$|\.toml$|\.npz$|\.csv$|\.forest\.json|^--from$)")
    return words[1] == "search" and not any(of_readers.match(word) or word in registry.DATA_SETS for word in words)


SEARCHES = {label(words): words for _, words in shown("nas", dialogues=False) if can_be_planned(words)}


@pytest.mark.parametrize("words", SEARCHES.values(), ids=SEARCHES)
def test_a_search_has_a_plan(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its constraints can be met on its devices; what the plan says is not carried out."""
    plans: list[SearchPlan] = []

    def begin(config: SearchConfig | MultiTargetConfig, *_: object, **__: object) -> NoReturn:
        plans.extend(map(make_plan, config.settings if isinstance(config, MultiTargetConfig) else [config]))
        raise KeyboardInterrupt

    monkeypatch.setattr(joint_search, "search", begin)
    monkeypatch.setattr(multi_target, "specialise", begin)
    monkeypatch.chdir(tmp_path)
    assert main(words[1:]) == 130 and plans


def _names(args: argparse.Namespace, *fields: str) -> list[str]:
    """Return the names, parted at commas, that the command gives in some of its fields."""
    given = [getattr(args, field, None) or () for field in fields]
    return [name for value in given for name in (value.split(",") if isinstance(value, str) else value)]


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_flags_in_the_running_text_exist(page: str) -> None:
    every = {flag for command in COMMANDS for flag in flags_of(command)}
    for code in PAGES[page].inline:
        program, *words = code.split()
        if program.startswith("--"):
            assert program in every, code
        elif program == "nas" and words and words[0] not in ("COMMAND", "..."):
            assert words[0] in (*COMMANDS, "--help"), code
            assert {word for word in words if word.startswith("--")} <= flags_of(words[0]), code


def flags_of(command: str) -> set[str]:
    """Return the flags of a command, or of the program."""
    parser = build_parser([command])
    subparsers = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    (own,) = [each.choices.get(command, parser) for each in subparsers]
    return {flag for action in own._actions for flag in action.option_strings}


@pytest.mark.parametrize("page", PAGES)
def test_modules_of_experiments_exist_and_have_the_flags(page: str) -> None:
    for module, flags in re.findall(r"python -m (experiments[\w.]*)([^`\n]*)", PAGES[page].path.read_text()):
        if module == "experiments.NAME":
            continue
        spec = find_spec(module)
        assert spec is not None and spec.origin is not None, module
        source = Path(spec.origin).read_text()
        for flag in re.findall(r"--[a-z][a-z-]*", flags):
            assert f'"{flag}"' in source, f"{module} {flag}"
        for path in re.findall(r"experiments/\S+", flags):
            assert list(ROOT.glob(path)), path


@pytest.mark.parametrize("page", PAGES)
def test_every_claim_has_its_command_beside_it(page: str) -> None:
    claims = PAGES[page].claims
    assert claims or page not in ("README.md", "docs/results.md")
    for claim, figure, command in claims:
        assert claim and figure
        assert re.fullmatch(r"`(nas|python -m experiments)[ .].+`", command), claim


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in PAGES[page].links:
        file, _, anchor = link.partition("#")
        path = (PAGES[page].path.parent / file).resolve() if file else PAGES[page].path
        assert path.exists(), link
        assert not anchor or anchor in Page(path).anchors, link


def test_the_two_commands_of_the_readme_are_what_they_were() -> None:
    venv, install = "python3 -m venv .venv", ".venv/bin/pip install -c constraints.txt"
    assert [block.text for block in README.blocks if block.language == ""] == [
        f"{venv} && {install} '.[export]' && .venv/bin/nas search --space uib --target edgetpu",
        f"{venv} && {install} '.[test]' && .venv/bin/python -m pytest",
    ]


def test_numbers_of_the_readme_that_are_counted_here() -> None:
    assert f"{len(target_names())} devices" in README.prose


def test_files_of_the_source_distribution_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"] + project["project"]["license-files"]
    assert {"docs", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"} <= set(named)
    assert all((ROOT / name).exists() for name in named)
    assert project["project"]["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text()


# ------------------------------------------------------------------------------------------------- what the pages run


def _shorten(patch: pytest.MonkeyPatch) -> None:
    """Make the searches of the pages those of the preset smoke, on a space that compiles quickly."""
    patch.setitem(PRESETS, "quick", SMOKE)
    patch.setitem(registry.SPACES, "uib", "tests.docs.space:SPACE")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the first command of README and quickstart was run."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        _shorten(patch)
        patch.chdir(folder)
        run_command(shlex.split(SEARCH))
    return folder


@pytest.fixture
def folder(searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, which is the current one; searches are short."""
    _shorten(monkeypatch)
    copy = tmp_path / "copy"
    shutil.copytree(searched, copy)
    monkeypatch.chdir(copy)
    return copy


def run_command(words: list[str]) -> None:
    """Run a command of a page in the current folder, made shorter where it is long."""
    if words[0] == "python":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", words[1:])
            runpy.run_path(words[1], run_name="__main__")
        return
    argv = words[1:]
    if argv[0] == "calibrate" and "--propose" not in argv:
        argv.append("--force")  # a machine that tests use measures too little to tell few small networks apart
    elif argv[0] in SHORTER:
        argv += shlex.split(SHORTER[argv[0]])
    assert main(argv) == 0, " ".join(words)


def run_blocks(blocks: list[Block]) -> None:
    """Run the marked blocks of a page in their order; its Python blocks share their names."""
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        if block.language == "python":
            exec(compile(block.text, "a page", "exec"), names)
        else:
            for words in block.commands:
                if " ".join(words) != SEARCH:
                    run_command(words)


@pytest.mark.parametrize("page", [README, QUICKSTART], ids=["README", "quickstart"])
def test_marked_blocks_run(page: Page, folder: Path) -> None:
    executed = [block for block in page.blocks if block.executed]
    assert SEARCH in [" ".join(words) for block in executed for words in block.commands]
    assert {block.language for block in executed} == {"sh", "python"}
    run_blocks(executed)
    written = {path.name for path in folder.iterdir()}
    assert {"compared", "found.json"} <= written
    assert any(name.endswith(".onnx") for name in written) and "host.csv" in written


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are not marked need no run beside them: they define what they show."""
    monkeypatch.chdir(tmp_path)
    for block in PAGES[page].blocks:
        if block.language == "python" and not block.executed:
            exec(compile(block.text, page, "exec"), {"__name__": "page"})


@pytest.fixture
def beside_a_run(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder is one with a finished run in runs/mine, of release 0.1."""
    shutil.copytree(root / "tests" / "data" / "runs" / "finished", tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("beside_a_run")
@pytest.mark.parametrize(
    ("command", "answer"), TROUBLESHOOTING.dialogues, ids=[c for c, _ in TROUBLESHOOTING.dialogues]
)
def test_a_message_of_troubleshooting_is_printed(command: str, answer: str, refusal: Callable[..., str]) -> None:
    line = refusal(*shlex.split(command)[1:])
    pattern = "".join("*" if part == "..." else glob_escape(part) for part in re.split(r"(\.\.\.)", answer))
    assert fnmatch.fnmatchcase(line.strip(), pattern), line


def glob_escape(text: str) -> str:
    """Return a pattern that matches just the text."""
    return re.sub(r"([*?[])", r"[\1]", text)
