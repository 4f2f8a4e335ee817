"""The figures of the source's plan, of a tree small enough to count by hand; this repository's are only read."""

import json
from pathlib import Path

import pytest

from experiments import structure
from experiments.structure import Survey, Vocabulary, survey

SIX = "\n".join(f"def f{i}(x): return x + {i}" for i in range(6))
TREE = {
    "pyproject.toml": '[[tool.importlinter.contracts]]\ntype = "layers"\nlayers = ["nas.top", "nas.low"]\n',
    "README.md": "What lies in pictures.csv is no word of ours. TuNAS neither, of course; `slot` is, a slot is not.\n",
    "nas/__init__.py": "",
    "nas/top.py": f"from typing import TYPE_CHECKING\nfrom .low import Twice\n\n{SIX}\n"
    "if TYPE_CHECKING:\n    from nas.search import walk\n",
    "nas/low.py": "class Twice: ...\n\ndef late():\n    import nas.top\n    return nas.top\n",
    "nas/search/__init__.py": "",
    "nas/search/walk.py": f"# A comment\nfrom nas.search import step\n{SIX.replace('return', ' return ')}\n",
    "nas/search/step.py": "class Twice: ...\n",
    "latency_models/__init__.py": "",
    "latency_models/table.py": 'from search_spaces import SPACE\nheldOut = {"held_out_fraction": SPACE}\n',
    "search_spaces/__init__.py": "SPACE = 1\n",
    "tests/data/old.py": "idle = 1\n",
}


@pytest.fixture
def measured(tmp_path: Path) -> Survey:
    """The figures of the small tree."""
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return survey(tmp_path, sorted(TREE))


def test_each_figure_is_what_a_count_by_hand_gives(measured: Survey) -> None:
    assert measured.figures == {
        "flat_modules": 3, "contract_levels": 2, "room_cycles": 1, "rooms_in_cycles": 2, "module_cycles": 1,
        "modules_in_cycles": 2, "local_imports": 1, "own_local_imports": 1, "type_only_imports": 1,
        "doubled_classes": 1, "repeated_runs": 1, "room_arrows": 4, "node_arrows": 4, "modules": 9, "rooms": 7,
    }  # fmt: skip
    assert set(measured.figures) == set(structure.LABELS)


def test_the_lists_say_where(measured: Survey) -> None:
    found = measured.details
    assert found["room_cycles"] == found["module_cycles"] == ["nas.low, nas.top"]
    assert found["own_local_imports"] == ["nas/low.py:4: import nas.top"]
    assert found["doubled_classes"] == ["Twice: nas.low, nas.search.step"]
    assert found["repeated_runs"] == ["nas/search/walk.py:3 and nas/top.py:4: 6 lines"]
    assert "latency_models -> search_spaces" in found["node_arrows"]


def test_words_count_in_names_and_prose_but_not_as_keys_or_files(measured: Survey) -> None:
    assert {name: count for name, count in measured.words.items() if count} == {"held out": 1, "slot(s)": 1}
    assert measured.file_keys == 1


@pytest.mark.parametrize(
    ("prose", "expected"),
    [
        ("the held-\nout Pictures", {"held out": 1, "picture(s)": 1}),
        ("landscape, of course; the course of the search", {"course(s)": 1}),
        ("a Bank in the bank: `Bank`, `bank`, first_rows", {"Bank": 1, "first_rows": 1}),
        ("TuNAS, by nas/tunas.py and `OneShotState`", {"tunas": 1, "oneshot": 1}),
    ],
)
def test_words_in_prose(prose: str, expected: dict[str, int]) -> None:
    said = Vocabulary()
    said.add_prose(prose)
    assert {name: count for name, count in said.counts().items() if count} == expected


def test_the_table_and_its_json_have_both_trees(
    measured: Survey, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(structure, "survey_commit", lambda root, revision: measured)
    monkeypatch.setattr(structure, "working_files", lambda root: [])
    assert structure.main(["--verbose"]) == 0
    shown = capsys.readouterr().out
    columns = {len(line) for line in shown.split("\n\n")[0].splitlines()}
    assert len(columns) == 1 and "nas/low.py:4: import nas.top" in shown
    assert structure.main(["--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert (both["before"]["all_words"], both["after"]["all_words"], both["after"]["modules"]) == (2, 0, 0)


def test_a_revision_that_is_not_there_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert structure.main(["--base", "no-such-revision"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "structure: no such revision: 'no-such-revision'\n")
