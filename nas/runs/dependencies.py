"""What a run depends on, as digests in its experiment.json: whether that has changed since, and how it goes on then.

Compared here alone, whenever a run or its weights are used again. A difference is refused unless it is accepted, which
experiment.json records; other versions of the packages, and runs of releases that kept no digests, are worth a line.
"""

import json
import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from latency_models.target import Target
from nas.data import Dataset
from nas.errors import InvalidInput, UnknownName
from nas.files import dump_json, write_whole
from nas.progress import ProgressReporter
from nas.records.experiment import ACCEPTED, DEPENDS_ON, FILE, RESUMED, read_experiment
from nas.records.locks import locked
from nas.records.named_code import OF_SOURCES, check_named
from nas.registry import UnstatedCode
from nas.runs.outside_start import outside_digest
from nas.runs.settings import SearchConfig
from nas.runs.sources import Sources, read_sources
from nas.space.staged import StagedSpace

SETTINGS, DATA, CLASSES, SPACE, TARGET, FOREST, WEIGHTS = (
    "settings", "data", "class names", "space", "target", "forest", "weights",
)  # fmt: skip
OF_WEIGHTS = (SETTINGS, DATA, CLASSES, SPACE)  # what a supernet's weights depend on, whatever the target
PACKAGE = "nas-engine"  # this one
ACCEPT = "--accept-changes"
UNKNOWN = "this run is of a release that kept no digests of target, space and settings: they are not compared"


@dataclass(frozen=True)
class Change:
    """One thing that a run depends on, and its digest before and now; "" where it is not found now."""

    what: str
    before: str
    now: str


@dataclass(frozen=True)
class Dependencies:
    """Digests of what a run depends on, by its name: "data", "space", "target ./mine.toml", "forest FILE", ..."""

    digests: Mapping[str, str]

    @classmethod
    def of(cls, sources: Sequence[Sources], settings: Any) -> "Dependencies":
        """Return what a search over `sources`, one per target, depends on; `settings` is the JSON that it stores."""
        first = sources[0]
        names = list(first.dataset.class_names)
        digests = {
            SETTINGS: _digest(settings), DATA: first.dataset.digest, CLASSES: _digest(names),
            SPACE: _digest(space_content(first.space)),
        }  # fmt: skip
        for one in sources:
            if one.target is not None:
                digests[f"{TARGET} {one.settings.target}"] = _digest(target_content(one.target))
            digests |= {f"{FOREST} {path}": digest for path, digest in one.forests.items()}
        if first.settings.weights is not None:
            digests[f"{WEIGHTS} {first.settings.weights}"] = outside_digest(first.settings.weights)
        return cls(digests)

    @classmethod
    def stored_in(cls, stored: Mapping[str, Any]) -> "Dependencies":
        """Return what the experiment.json of a run states; older releases state the data and the forests alone."""
        older = {f"{FOREST} {path}": digest for path, digest in stored.get("forests", {}).items()}
        return cls({DATA: stored.get(DATA, {}).get("digest", ""), **older, **stored.get(DEPENDS_ON, {})})

    def changes(self, now: "Dependencies", only: Collection[str] | None = None) -> tuple[Change, ...]:
        """Return what differs, of what both know: all of it, or `only` some names."""
        return tuple(
            Change(what, before, now.digests[what])
            for what, before in self.digests.items()
            if what in now.digests and now.digests[what] != before and (only is None or what in only)
        )


def target_content(target: Target) -> dict[str, Any]:
    """Return the values of a target that predictions depend on, not their sources."""
    values = {name: value.value for name, value in target.sourced_values.items()}
    known = target.calibration
    calibrated = (known.latency_ms, known.macs, known.kinds) if known else None
    return {
        "name": target.name, "dtype": target.dtype, "batch": target.batch, "overlap": target.overlap,
        "values": values, "calibrated": calibrated,
    }  # fmt: skip


def space_content(space: StagedSpace) -> dict[str, Any]:
    """Return the decisions of a space, how many architectures it has, and its first and last one."""
    ends = [[0] * len(space.decisions), [len(decision.options) - 1 for decision in space.decisions]]
    return {
        "decisions": [[one.name, list(one.options), one.condition] for one in space.decisions],
        "size": space.size(), "ends": [space.decode(genotype).digest for genotype in ends],
    }  # fmt: skip


def _digest(value: Any) -> str:
    """Return the SHA-256 of a value as JSON text, in which tuples are lists."""
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


# --------------------------------------------------------------------------------------------------------- comparing


def accepted_changes(
    run: Path, stored: Mapping[str, Any], now: Dependencies, *, accept: bool | None, only: Collection[str] | None = None
) -> tuple[Change, ...]:
    """Return what has changed since the run in `run` began, which is `accept`ed; else `InvalidInput` names it.

    `accept` is None where a command accepts no changes.
    """
    changes = Dependencies.stored_in(stored).changes(now, only)
    if changes and not accept:
        listed = " and ".join(f"the {_in_words(change.what, stored)}" for change in changes)
        one = len(changes) == 1 and changes[0].what not in (SETTINGS, CLASSES)
        have, they = ("has", "it") if one else ("have", "them")
        remedy = f"put {they} back or start a new run"
        if accept is not None:
            remedy = f"put {they} back, start a new run, or go on with what is there now: {ACCEPT}"
        raise InvalidInput(f"{listed} {have} changed since this run began ({run}): {remedy}")
    return changes


def _in_words(what: str, stored: Mapping[str, Any]) -> str:
    settings = stored.get("settings")
    if what == DATA and isinstance(settings, dict):
        return f"data set '{settings.get('data')}'"
    return {SETTINGS: f"settings in {FILE}"}.get(what, what)


@dataclass(frozen=True)
class Continuation:
    """How a run goes on: the content of its experiment.json from now on, and lines on what differs."""

    stored: dict[str, Any]
    lines: tuple[str, ...]

    def with_settings(self, key: str, settings: Any) -> "Continuation":
        """Return the same with other settings under `key` of experiment.json, which the run depends on from now on."""
        known = (
            {DEPENDS_ON: {**self.stored[DEPENDS_ON], SETTINGS: _digest(settings)}} if DEPENDS_ON in self.stored else {}
        )
        return Continuation({**self.stored, key: settings, **known}, self.lines)

    def begin(self, run: Path, before: dict[str, Any], reporter: ProgressReporter) -> None:
        """Say the lines, and write the experiment.json of the run where its content was another `before`."""
        for line in self.lines:
            reporter.say(line)
        if self.stored != before:
            write_whole(run / FILE, dump_json(self.stored))


def continuation(run: Path, stored: dict[str, Any], now: Dependencies, *, accept: bool) -> Continuation:
    """Return how the run in `run` goes on; `InvalidInput` where what it depends on has changed, unless `accept`ed."""
    changes = accepted_changes(run, stored, now, accept=accept)
    return _with_versions(Continuation(_with_changes(stored, changes, now), lines_on(stored, changes)))


def lines_on(stored: Mapping[str, Any], changes: Sequence[Change]) -> tuple[str, ...]:
    """Return lines on what was accepted, and on a run whose release kept no digests."""
    names = ", ".join(change.what for change in changes)
    accepted = [f"accepted: {names} changed since this run began"] if changes else []
    return (*([] if DEPENDS_ON in stored else [UNKNOWN]), *accepted)


def recorded(stored: dict[str, Any], changes: Iterable[Change], **by: str) -> dict[str, Any]:
    """Return the content of an experiment.json with accepted changes in its list, and `by` what they were accepted."""
    known = stored.get(ACCEPTED, [])
    rows = [row for row in ({**asdict(change), **by} for change in changes) if row not in known]
    return {**stored, ACCEPTED: [*known, *rows]} if rows else stored


def _with_changes(stored: dict[str, Any], changes: tuple[Change, ...], now: Dependencies) -> dict[str, Any]:
    """Return the content of an experiment.json that depends on what is there now, where changes were accepted."""
    if not changes:
        return stored
    known = now.digests
    new = recorded(stored, changes) | {DATA: {**stored.get(DATA, {}), "digest": known[DATA]}}
    if "forests" in stored:
        new["forests"] = {path: known.get(f"{FOREST} {path}", old) for path, old in stored["forests"].items()}
    if DEPENDS_ON in stored:
        new[DEPENDS_ON] = dict(known)
    return new


# ---------------------------------------------------------------------------------------------------------- versions


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python, of this package and of `packages`, of those that are installed."""
    found = {"python": platform.python_version()}
    for package in (PACKAGE, *packages):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _with_versions(going_on: Continuation) -> Continuation:
    """Return how a run goes on with the packages that are installed: others than before are recorded, and said."""
    stored = going_on.stored
    before = [stored.get("versions", {}), *stored.get(RESUMED, [])][-1]
    now = versions(name for name in before if name not in ("python", PACKAGE))
    other = [name for name in before if name != "python" and now.get(name) != before[name]]
    if not other:
        return going_on
    began, goes_on = (", ".join(f"{name} {each.get(name, 'missing')}" for name in other) for each in (before, now))
    line = f"begun with {began}, goes on with {goes_on}: the same seed gives the same bytes for one set of versions"
    return Continuation({**stored, RESUMED: [*stored.get(RESUMED, []), now]}, (*going_on.lines, line))


# ----------------------------------------------------------------------------------------------------- other commands


def home_of(run: Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder whose experiment.json says what a run depends on: its own, of RUN/TARGET that of RUN."""
    for folder in (run, run.resolve().parent):
        stored = read_experiment(folder) if (folder / FILE).is_file() else {}
        if DATA in stored:
            return folder, stored
    raise InvalidInput(f"{run}/{FILE} lacks what names its images; search again")


def check_use(
    run: Path, config: SearchConfig, dataset: Dataset, by: str, *, accept: bool, own_data: bool = True
) -> tuple[str, ...]:
    """Compare what a run with the settings `config` depends on before the command `by` uses what it found.

    Return lines for the reader. `own_data` says whether the images are to be those of the run. What is accepted is
    recorded in the experiment.json of the run, which still depends on what it began with.
    """
    home, stored = home_of(run)
    check_named(stored, OF_SOURCES)
    known = Dependencies.stored_in(stored)
    if DEPENDS_ON in stored:
        now = _read_now(config, dataset, stored.get("request", stored.get("settings")), known, accept)
    else:
        now = Dependencies({DATA: dataset.digest})
    foreign = () if own_data else (DATA, CLASSES, SPACE)
    changes = accepted_changes(
        home, stored, now, accept=accept, only=[one for one in now.digests if one not in foreign]
    )
    if changes:
        with locked(home):
            write_whole(home / FILE, dump_json(recorded(stored, changes, by=by)))
    return lines_on(stored, changes)


def _read_now(config: SearchConfig, dataset: Dataset, settings: Any, known: Dependencies, accept: bool) -> Dependencies:
    """Return what a run depends on now; what cannot be read counts as changed, where changes are accepted."""
    try:
        return Dependencies.of([read_sources(config, dataset)], settings)
    except UnstatedCode:
        raise
    except (InvalidInput, UnknownName) as error:
        if not accept:
            raise InvalidInput(f"{error}; the run depends on it: put it back, or go on without: {ACCEPT}") from error
    lost = [what for what in known.digests if what.split()[0] in (TARGET, FOREST, SPACE)]
    return Dependencies({SETTINGS: _digest(settings), DATA: dataset.digest, **dict.fromkeys(lost, "")})
