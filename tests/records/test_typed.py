"""Files of a run that were altered by hand: one line, never a traceback and never a wrong result."""

import json
from pathlib import Path

import pytest

from nas.errors import InvalidInput
from nas.records.picks import Pick, Picks, load_picks, save_picks
from nas.records.results import AccuracyKind, Score, accuracy_from
from nas.records.verdict import Trained, Verdict, load_verdict, save_verdict

ACCURACY = Score.of(0.75, 100, AccuracyKind("digits", "d", 16, 0.25, "trained alone"))
VERDICT = Verdict(Trained("found", "a", 1.0, ACCURACY), Trained("base", "b", 1.0, ACCURACY), "ms", 5, 0, 0.1, 0.05)
PICKS = Picks("kind", 100, True, 9, 1, 0.01, "ms", (Pick(("fastest",), "a", "specs/a.json", 1.0, 0.75, 0, 0, 9, 9, 9),))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    save_verdict(VERDICT, tmp_path)
    save_picks(PICKS, tmp_path)
    assert load_verdict(tmp_path) == VERDICT and load_picks(tmp_path) == PICKS


@pytest.mark.parametrize("value", ["x", None, True, [1], float("nan")])
@pytest.mark.parametrize("name", ["difference", "steps"])
def test_another_kind_of_value_in_a_verdict_is_refused(tmp_path: Path, name: str, value: object) -> None:
    (tmp_path / "verdict.json").write_text(json.dumps(VERDICT.to_dict() | {name: value}))
    with pytest.raises(InvalidInput, match=f"does not hold the verdict .*{name}|NaN is no number"):
        load_verdict(tmp_path)


@pytest.mark.parametrize("data", [[], {"schema": 3}, PICKS.to_dict() | {"luck": "x"}, PICKS.to_dict() | {"picks": 3}])
def test_altered_picks_are_refused(tmp_path: Path, data: object) -> None:
    (tmp_path / "picks.json").write_text(json.dumps(data))
    with pytest.raises(InvalidInput, match="does not hold the picks"):
        load_picks(tmp_path)


FILE_FIELDS = {"pictures": "examples", "top1": "value"}


@pytest.mark.parametrize(("name", "value"), [("top1", 7.98), ("top1", -1), ("standard_error", 2), ("pictures", 0)])
def test_an_accuracy_that_cannot_be_is_refused(name: str, value: float) -> None:
    with pytest.raises(TypeError, match=f"{FILE_FIELDS.get(name, name)} is"):
        accuracy_from(ACCURACY.to_dict() | {name: value})
