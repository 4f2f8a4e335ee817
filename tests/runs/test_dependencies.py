"""What a run depends on: a change is refused in one line or accepted and recorded, wherever the run is used again."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from latency_models.target import load_target
from nas import registry
from nas.errors import InvalidInput
from nas.progress import SilentReporter
from nas.records.experiment import ACCEPTED, DEPENDS_ON, RESUMED
from nas.runs import dependencies, joint_search, multi_target
from nas.runs.dependencies import UNKNOWN, Dependencies, target_content
from nas.runs.multi_target_settings import MultiTargetConfig, make_plans
from nas.runs.plan import make_plan
from nas.runs.settings import SearchConfig
from nas.runs.sources import read_sources
from tests.extending.space import SPACE

STORED = Path(__file__).resolve().parents[1] / "data" / "runs"
TARGET = Path(__file__).resolve().parents[1] / "extending" / "target.toml"
Alter = Callable[[Path], object]


@dataclass
class Lines(SilentReporter):
    """A reporter that keeps the lines that it is told."""

    said: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Keep a line."""
        self.said.append(line)


class Work:
    """Stands for the work on a run folder: there is nothing left to do."""

    def __init__(self, *about: Any) -> None: ...

    def finish(self) -> None:
        """Do nothing."""


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs have no work left."""
    monkeypatch.setattr(joint_search, "_run", Work)
    monkeypatch.setattr(multi_target, "_MultiTargetRun", Work)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a target of its own."""
    shutil.copy(TARGET, tmp_path / "mine.toml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config_of(target: str = "./mine.toml") -> SearchConfig:
    """Return the settings of a search for a target."""
    return SearchConfig(space="uib_smoke", target=target, preset="smoke", latency_model="default")


@pytest.fixture
def run(place: Path) -> Path:
    """A search in two stages that was killed before its first checkpoint."""
    (place / "run").mkdir()
    joint_search._store(make_plan(config_of()), place / "run")
    return place / "run"


@pytest.fixture
def several(place: Path) -> Path:
    """A search for two targets that was killed before its first checkpoint."""
    config = MultiTargetConfig((config_of("edgetpu"), config_of()), "random", 4)
    (place / "several").mkdir()
    stored = multi_target._stored(config, make_plans(config))
    (place / "several" / "experiment.json").write_text(json.dumps(stored))
    return place / "several"


def experiment(run: Path) -> dict[str, Any]:
    """Return the content of the experiment.json of a run."""
    content: dict[str, Any] = json.loads((run / "experiment.json").read_text())
    return content


def rewrite(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the content of the experiment.json of a run."""
    stored = experiment(run)
    change(stored)
    (run / "experiment.json").write_text(json.dumps(stored))


def contents(folder: Path) -> dict[Path, bytes]:
    """Return the bytes of all files of a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def faster(folder: Path) -> None:
    """Change a figure of the target."""
    path = folder / "mine.toml"
    text = path.read_text()
    first = next(line for line in text.splitlines() if line.startswith("value = "))
    path.write_text(text.replace(first, "value = 77.0", 1))


def other_seed(folder: Path) -> None:
    """Edit the settings of the runs."""
    for run in (folder / "run", folder / "several"):
        if run.exists():
            rewrite(run, lambda stored: (stored.get("request") or {"settings": [stored["settings"]]})["settings"][0]
                    .update(seed=1))  # fmt: skip


def other_data(folder: Path) -> None:
    """Let the runs have begun with other images."""
    for run in (folder / "run", folder / "several"):
        if run.exists():
            rewrite(
                run, lambda stored: [stored["data"].update(digest="0" * 64), stored[DEPENDS_ON].update(data="0" * 64)]
            )


CHANGES: dict[str, tuple[Alter, str]] = {
    "target ./mine.toml": (faster, "the target ./mine.toml has changed since this run began"),
    "settings": (other_seed, "the settings in experiment.json have changed since this run began"),
    "data": (other_data, "the data set 'digits' has changed since this run began"),
}


@pytest.mark.parametrize("kind", ["run", "several"])
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_refused_in_one_line_and_nothing_is_touched(
    what: str, kind: str, place: Path, request: pytest.FixtureRequest, refusal: Callable[..., str]
) -> None:
    run: Path = request.getfixturevalue(kind)
    alter, line = CHANGES[what]
    alter(place)
    before = contents(place)
    shown = refusal("resume", run)
    assert line in shown and "go on with what is there now: --accept-changes" in shown
    assert contents(place) == before


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("kind", ["run", "several"])
@pytest.mark.parametrize("what", CHANGES)
def test_an_accepted_change_is_recorded_and_is_none_from_then_on(
    what: str, kind: str, place: Path, request: pytest.FixtureRequest
) -> None:
    run: Path = request.getfixturevalue(kind)
    resume: Any = joint_search.resume if kind == "run" else multi_target.resume
    before = experiment(run)[DEPENDS_ON]
    CHANGES[what][0](place)
    reporter, again = Lines(), Lines()
    resume(run, reporter, accept_changes=True)
    stored = experiment(run)
    (row,) = stored[ACCEPTED]
    assert row["what"] == what and row["now"] == stored[DEPENDS_ON][what] != row["before"]
    assert {name for name in before if before[name] != stored[DEPENDS_ON][name]} <= {what}
    assert len(reporter.said) == 1 and what in reporter.said[0]
    resume(run, again)
    assert again.said == [] and experiment(run) == stored


@pytest.mark.usefixtures("idle")
def test_a_run_that_depends_on_what_it_did_goes_on_without_a_word(run: Path, several: Path) -> None:
    before, reporter = contents(run) | contents(several), Lines()
    joint_search.resume(run, reporter)
    multi_target.resume(several, reporter)
    assert reporter.said == [] and contents(run) | contents(several) == before


def test_a_space_with_other_decisions_or_other_costs_is_another(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Dependencies.stored_in(experiment(run))
    source = read_sources(config_of())
    assert known.changes(Dependencies.of([source], experiment(run)["settings"])) == ()
    stages = source.space.stages
    for other in (
        replace(source.space, stages=(*stages[:-1], replace(stages[-1], filters=(*stages[-1].filters, 999)))),
        replace(source.space, tail=(replace(source.space.tail[0], filters=(968,)),)),
    ):
        now = Dependencies.of([replace(source, space=other)], experiment(run)["settings"])
        assert [change.what for change in known.changes(now)] == ["space"]
    monkeypatch.setitem(registry.SPACES, "uib_smoke", "tests.extending.space:SPACE")
    assert isinstance(SPACE, type(source.space))
    with pytest.raises(InvalidInput, match="the space has changed since this run began"):
        joint_search.resume(run)


def test_sources_and_comments_of_a_target_are_no_part_of_what_a_run_depends_on(place: Path) -> None:
    before = target_content(load_target("./mine.toml"))
    text = (place / "mine.toml").read_text()
    (place / "mine.toml").write_text("# mine\n" + text.replace('source = "', 'source = "checked: '))
    assert target_content(load_target("./mine.toml")) == before
    faster(place)
    assert target_content(load_target("./mine.toml")) != before


def test_other_classes_are_a_change(run: Path) -> None:
    source = read_sources(config_of())
    renamed = replace(source.dataset, class_names=tuple(f"class {name}" for name in source.dataset.class_names))
    now = Dependencies.of([replace(source, dataset=renamed)], experiment(run)["settings"])
    changes = Dependencies.stored_in(experiment(run)).changes(now)
    assert [change.what for change in changes] == ["class names"]


# ------------------------------------------------------------------------------------------- versions, older releases


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("kind", ["run", "several"])
def test_other_versions_are_one_line_and_both_are_recorded(kind: str, request: pytest.FixtureRequest) -> None:
    run: Path = request.getfixturevalue(kind)
    resume: Any = joint_search.resume if kind == "run" else multi_target.resume
    now = experiment(run)["versions"]
    rewrite(run, lambda stored: stored["versions"].update(jax="0.4.30", numpy="1.0", python="2.7"))
    reporter, again = Lines(), Lines()
    resume(run, reporter)
    (line,) = reporter.said
    assert line.startswith(f"begun with jax 0.4.30, numpy 1.0, goes on with jax {now['jax']}, numpy {now['numpy']}: ")
    stored = experiment(run)
    assert stored["versions"]["jax"] == "0.4.30" and stored[RESUMED] == [now]
    resume(run, again)
    assert again.said == [] and experiment(run) == stored


def test_the_package_itself_is_among_the_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "version", lambda name: f"{name} of today")
    assert dependencies.versions(["jax"])["nas-engine"] == "nas-engine of today"


@pytest.mark.usefixtures("idle")
def test_runs_without_digests_go_on_with_a_line(tmp_path: Path) -> None:
    for name, resume in (("killed-coarse", joint_search.resume), ("many-killed-training", multi_target.resume)):
        run, reporter = shutil.copytree(STORED / name, tmp_path / name), Lines()
        before = experiment(run)
        resume(run, reporter)  # type: ignore[operator]
        assert reporter.said[0] == UNKNOWN
        assert {name: value for name, value in experiment(run).items() if name != RESUMED} == before


@pytest.mark.parametrize("wrong", [3, [], {"data": 3}, {"data": {}}])
def test_digests_of_another_type_are_one_line(wrong: Any, run: Path, refusal: Callable[..., str]) -> None:
    rewrite(run, lambda stored: stored.update({DEPENDS_ON: wrong}))
    assert "does not hold the settings of a search" in refusal("resume", run)


# ------------------------------------------------------------------------------------------------------ other commands


@pytest.fixture
def finished(place: Path) -> Path:
    """A finished run that states digests, of what is as it was."""
    run = shutil.copytree(STORED / "many", place / "many") / "edgetpu"
    stored = experiment(run.parent)
    config = SearchConfig.from_dict(experiment(run)["settings"])
    known = Dependencies.of([read_sources(config)], stored["request"])
    rewrite(run.parent, lambda stored: stored.update({DEPENDS_ON: dict(known.digests)}))
    return run


COMMANDS = (("finalists",), ("train", "--proxy", "--from-supernet"))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_result_is_not_used_where_its_target_has_changed(
    command: tuple[str, ...], finished: Path, place: Path, refusal: Callable[..., str]
) -> None:
    rewrite(finished.parent, lambda stored: stored[DEPENDS_ON].update({"target edgetpu": "0" * 64}))
    before = contents(place)
    words = (command[0], finished, *command[1:], "--epochs", 1, "--out", place / "out")
    assert "the target edgetpu has changed since this run began" in refusal(*words)
    assert contents(place) == before


def test_what_is_accepted_for_another_use_is_recorded_and_the_run_stays_what_it_was(finished: Path) -> None:
    rewrite(finished.parent, lambda stored: stored[DEPENDS_ON].update({"target edgetpu": "0" * 64}))
    before, config = experiment(finished.parent), SearchConfig.from_dict(experiment(finished)["settings"])
    for _ in range(2):
        lines = dependencies.check_use(finished, config, config.load_data(), "finalists", accept=True)
        assert lines == ("accepted: target edgetpu changed since this run began",)
    stored = experiment(finished.parent)
    (row,) = stored.pop(ACCEPTED)
    assert (row["what"], row["before"], row["by"]) == ("target edgetpu", "0" * 64, "finalists")
    assert stored == before


def test_a_target_that_is_gone_is_accepted_too(finished: Path) -> None:
    config = replace(SearchConfig.from_dict(experiment(finished)["settings"]), target="./gone.toml")
    rewrite(finished.parent, lambda stored: stored[DEPENDS_ON].update({"target ./gone.toml": "0" * 64}))
    data = config.load_data()
    with pytest.raises(InvalidInput, match=r"cannot read gone\.toml.*; the run depends on it: .* --accept-changes"):
        dependencies.check_use(finished, config, data, "train", accept=False)
    assert dependencies.check_use(finished, config, data, "train", accept=True)[0].startswith("accepted: ")


def test_a_supernet_is_not_searched_with_other_data_or_space(
    several: Path, place: Path, refusal: Callable[..., str]
) -> None:
    (several / "supernet.safetensors").write_bytes(b"weights")
    rewrite(several, lambda stored: stored[DEPENDS_ON].update(space="0" * 64))
    faster(place)  # no matter to the weights
    words = ("--algorithm", "random", "--preset", "smoke", "--from", several, "--out", place / "new")
    assert "the space has changed since this run began" in refusal("search", *words)
    assert not (place / "new").exists()


@pytest.mark.usefixtures("idle")
def test_a_change_that_is_accepted_for_a_supernet_is_recorded_by_the_new_run(
    several: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multi_target.shared_supernet, "read", lambda *_: None)
    (several / "supernet.safetensors").write_bytes(b"weights")
    rewrite(several, lambda stored: stored[DEPENDS_ON].update(space="0" * 64))
    config, reporter = MultiTargetConfig((config_of("rpi5"),), "random", 4, source="1" * 64), Lines()
    before = contents(several)
    multi_target.specialise(config, place / "new", reporter, source=several, accept_changes=True)
    assert reporter.said == ["accepted: space changed since this run began"] and contents(several) == before
    stored = experiment(place / "new")
    (row,) = stored[ACCEPTED]
    assert (row["what"], row["before"], row["by"]) == ("space", "0" * 64, "search --from")
    assert stored[DEPENDS_ON]["space"] == row["now"]
