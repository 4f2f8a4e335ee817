"""The networks that a name, a file or a folder stands for: runs with their fronts, trainings, specs, references.

`resolve` returns the one network that a user names; `load_item` all the entries of an item to compare, with their
accuracies.
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from nas.arch import ArchSpec, load_arch
from nas.errors import InvalidInput, unknown_name
from nas.files import read_json, usable_path
from nas.records.front import AT, load_front, names_point, spec_of_point
from nas.records.results import (
    TRAINED_ALONE,
    AccuracyKind,
    Result,
    Score,
    accuracy_from,
    load_result,
    result_of_run,
    standard_error,
)
from nas.records.tables import frame_of, rows_of
from nas.records.trainings import read_training, training_of_run
from nas.records.typed import refused
from nas.space.scaling import with_input
from nas.zoo import (
    BASELINES,
    ZOO,
    Series,
    is_reference,
    parse_reference,
    published_accuracies,
    published_accuracy,
    reference,
)
from nas.zoo.audio import AUDIO, audio_reference

Source = Literal["run", "spec", "reference"]
PUBLISHED_KIND = {
    "authors": "ImageNet-1k top-1 as published by each network's authors, each at its own resolution",
    "mobilenetv4-tab6": "ImageNet-1k top-1 of arXiv 2404.10518 Tab. 6, each at its own resolution",
}
VALIDATION_IMAGES = 50_000  # of ImageNet-1k: arXiv 1409.0575, section 3.1
UNIVERSAL = "universal"  # folder of the network for all targets of a run
EVERY_REFERENCE = "zoo"  # the item that stands for all baselines


@dataclass(frozen=True)
class Entry:
    """One architecture to compare, with its accuracy where one is known.

    Accuracies compare only where their `kind` is the same.
    """

    item: str  # the run, file or network that it came from
    name: str  # its own label
    source: Source
    arch: ArchSpec
    accuracy: Score | None = None
    chosen: bool = True  # False for the other members of a run's front
    found_for: str = ""  # the target of the search that found it, or "universal"
    published_top1: float | None = None
    latency_budget: float | None = None  # of the search that found it, in ms, or relative on an abstract device
    folder: Path | None = None  # of the run whose result it is
    weights: Path | None = None  # the folder of a training of this very network

    @property
    def top1(self) -> float:
        """The accuracy as a fraction, NaN where none is known."""
        known = self.accuracy.top1 if self.accuracy else self.published_top1
        return math.nan if known is None else known

    @property
    def standard_error(self) -> float:
        """The standard error of the accuracy; of a published one, that over 50,000 validation images."""
        if self.accuracy:
            return self.accuracy.standard_error
        return standard_error(self.top1, VALIDATION_IMAGES)

    @property
    def kind(self) -> str:
        """The kind of accuracy as text, "" without one."""
        if self.accuracy:
            return kind_text(self.accuracy.kind)
        return "" if self.published_top1 is None else PUBLISHED_KIND["authors"]


def kind_text(kind: AccuracyKind) -> str:
    """Return the kind as a comparison stores it, with the digest of the data; `display_text` is for the reader."""
    return f"{kind.stored_label()} (data {kind.data_digest[:8]})"


def load_items(items: Sequence[str | Path]) -> list[Entry]:
    """Return the entries of all `items`; items with the same label get a number. Raises as `load_item`."""
    groups: list[list[Entry]] = []
    named = tuple(dict.fromkeys(usable_path(str(item)) for item in items))
    for item in named:
        if item == EVERY_REFERENCE and not Path(item).exists():
            groups += [load_item(name) for name in BASELINES if name not in named]
        elif folders := _target_folders(Path(item)):
            groups += [load_item(folder) for folder in folders]
        else:
            groups.append(load_item(item))
    return _numbered(groups)


def resolve(text: str | Path) -> Entry:
    """Return the network that a reference's name, a file, or the folder of a run or training stands for.

    The one way from what a user names to a network, for the command line and the Python interface. A name wins over a
    path of the same spelling (`./mobilenetv2` is the path). RUN@2.5ms is the network for that latency of a run that
    searched for a whole front. `weights` are those of a training, or of the training of
    the network that a run found. Raises `InvalidInput` or `UnknownName` in one line for what is none of these, and
    for a run or training that has not finished.
    """
    name = usable_path(str(text))
    path = Path(name)
    if is_reference(name):
        return _of_reference(name)
    if name in AUDIO:
        return Entry(name, name, "reference", audio_reference(name))
    label = path.resolve().name.removesuffix(".json")
    if names_point(name):
        return _of_point(name)
    if is_training(name):
        arch, accuracy = load_trained(path)  # of a proxy, where one was trained: see `proxy_notes`
        return Entry(label, label, "run", arch, accuracy, weights=path)
    if os.path.isdir(name):
        _refuse_unfinished_training(path)
        return replace(_best_of_run(path, label)[0], weights=_weights_of_run(path))
    if os.path.isfile(name):
        return _of_file(path, label)
    if path.suffix or len(path.parts) > 1:
        raise InvalidInput(f"there is no run folder and no spec file {name}; give one, or a name of: nas zoo")
    raise unknown_name("network", name, (*ZOO, *AUDIO))


def _of_point(text: str) -> Entry:
    """Return the network of RUN@LATENCY, with the accuracy that it has on the front of the run."""
    arch, (run, _, latency) = load_arch(Path(spec_of_point(text))), text.rpartition(AT)
    own = _of_run(Path(run), Path(run).resolve().name)
    label = f"{own[0].item}{AT}{latency}"
    entry = next((one for one in own if one.arch == arch), Entry(label, label, "spec", arch))
    return replace(entry, item=label, name=label, chosen=True, folder=None)


def _of_reference(name: str) -> Entry:
    """Return the entry of a reference network, with its published accuracy where there is one."""
    known = has_accuracy(name)
    top1 = published_accuracy(*parse_reference(name)).top1_percent / 100 if known else None
    return Entry(name, name, "reference", reference(name), published_top1=top1)


def _of_file(path: Path, label: str) -> Entry:
    """Return the entry of a spec file or of a result's file, best.json say; a spec without a name has the file's."""
    data = read_json(path)
    if isinstance(data, dict) and data.get("schema") == "nas.result":
        return _of_result(label, load_result(path))
    arch = load_arch(path)
    return Entry(label, label, "spec", replace(arch, name=path.stem) if arch.name == "unnamed" else arch)


def _refuse_unfinished_training(folder: Path) -> None:
    """Raise where `folder` is that of a training that has not finished."""
    if (folder / "settings.json").is_file() and not (folder / "experiment.json").exists():
        raise InvalidInput(
            f"the training in {folder} has not finished; the command that began it goes on from its last checkpoint"
        )


def _weights_of_run(run: Path) -> Path | None:
    """Return the folder of the training of the network that a run found; None without one, and for RUN/TARGET."""
    return None if _is_target_folder(run) and not is_run(str(run)) else training_of_run(run)


def load_item(item: str | Path) -> list[Entry]:
    """Return the entries of one item to compare: of a run its result and its front, of anything else one.

    A run is a folder with experiment.json, or the part RUN/TARGET of a run for several targets. Raises as `resolve`.
    """
    path = Path(item := usable_path(str(item)))
    if is_reference(item) or is_training(item) or not os.path.isdir(item):
        return [resolve(item)]
    _refuse_unfinished_training(path)
    return _of_run(path, path.resolve().name.removesuffix(".json"))


def has_accuracy(name: str, series: Series = "authors") -> bool:
    """Return whether an accuracy of this reference network is published, at its width and resolution."""
    known = {(one.series, one.network, one.width, one.resolution) for one in published_accuracies()}
    return (series, *parse_reference(name)) in known


def load_trained(folder: Path) -> tuple[ArchSpec, Score]:
    """Return the spec that a training was for and the test accuracy it reached, from the folder's train.json."""
    data = read_training(folder)
    with refused(folder / "train.json", "the result of a training", "train again with: nas train"):
        return ArchSpec.from_dict(data["arch"]), accuracy_from(data["accuracy"])


def baselines(entries: Sequence[Entry]) -> tuple[list[Entry], tuple[str, ...]]:
    """Return the baselines, reference networks for each input and number of classes in `entries`, and notes on them.

    They have no accuracy: what they reach at that input and on that data is not known.
    """
    own = [entry.arch for entry in entries if entry.source != "reference"]
    taken = {entry.name for entry in entries}
    inputs = list(dict.fromkeys((arch.input_shape, arch.num_classes) for arch in own))
    found, notes = [], []
    for shape, classes in inputs:
        described = f"{shape.height}x{shape.width}x{shape.channels}, {classes:,} classes"
        for name in BASELINES:
            arch = with_input(reference(name), shape.size, shape.channels, classes)
            label = name if len(inputs) == 1 else f"{name} at {shape.size.text}"
            if label in taken:
                label += f", {classes:,} classes"
            found.append(Entry(label, label, "reference", arch))
        notes.append(f"references rebuilt for {described}: latency only")
    return found, tuple(notes)


def proxy_notes(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return a warning for every network that was trained as a proxy, which has the latency of the proxy."""
    return tuple(
        f"{entry.name} was trained as a proxy: its latency is that of the small network, not of a target network"
        for entry in entries
        if entry.accuracy and entry.accuracy.kind.width != 1 and entry.accuracy.kind.how == TRAINED_ALONE
    )


def _is_target_folder(path: Path) -> bool:
    """Return whether `path` is RUN/TARGET, the folder of one target in a run for several."""
    return (path / "best.json").exists() and (path.resolve().parent / "experiment.json").exists()


def _target_folders(run: Path) -> list[Path]:
    """Return the folders of the targets in a run for several, an empty list for any other path."""
    if not (run / "experiment.json").exists() or (run / "best.json").exists():
        return []
    return sorted(path.parent for path in run.glob("*/best.json"))


def _of_run(run: Path, label: str) -> list[Entry]:
    """Return the entries of a run: its result, its re-trained candidates, its front."""
    best, result = _best_of_run(run, label)
    return [best, *_finalists(run, best.item, result), *_front(run, best.item, result)]


def _best_of_run(run: Path, label: str) -> tuple[Entry, Result]:
    """Return the entry of the network that a run, or RUN/TARGET, found, and its result."""
    of_several = _is_target_folder(run)
    result = load_result(run / "best.json") if of_several else result_of_run(run)
    if of_several and label == UNIVERSAL:
        result = replace(result, target=UNIVERSAL)
    label = f"{run.resolve().parent.name}/{label}" if of_several else label
    entry = replace(_of_result(label, result), folder=run)
    # A whole front has as many budgets as networks: none of them is that of the run.
    return (replace(entry, latency_budget=None) if load_front(run) else entry), result


def _of_result(label: str, result: Result) -> Entry:
    """Return the entry of a result."""
    budget = result.latency_budget
    return Entry(label, label, "run", result.arch, result.accuracy, found_for=result.target, latency_budget=budget)


def _finalists(run: Path, label: str, result: Result) -> Iterator[Entry]:
    """Yield the candidates that were trained alone for as long as the result, whose accuracy is of that kind."""
    own, shared = result.accuracy, result.supernet_accuracy
    if shared is None or shared.kind == own.kind:
        return
    table = frame_of(run / "finalists.csv")
    last = table[table["epochs"] == table.loc[table["digest"] == result.arch.digest, "epochs"].max()]
    last = last.drop_duplicates("digest")  # the best of the coarse stage is ranked among those of the fine one too
    errors = last["standard_error"] if "standard_error" in last else [math.nan] * len(last)  # not of shares
    columns = (last["digest"], last["spec"], last["top1"], last["pictures"], errors)
    for digest, spec, top1, images, error in zip(*columns, strict=True):
        arch = _arch_of_row(run, digest, spec)
        if arch != result.arch:
            accuracy = Score.of(top1, images, own.kind, None if math.isnan(error) else error)
            name = f"{label}/{digest[:8]} alone"
            yield Entry(label, name, "run", arch, accuracy, chosen=False, found_for=result.target)


def _front(run: Path, label: str, result: Result) -> Iterator[Entry]:
    """Yield the other networks of the run's front, all with accuracies under shared weights.

    Where the result was chosen by another accuracy, it comes first, with that under shared weights: it need not be on
    this front.
    """
    best, found_for = result.supernet_accuracy or result.accuracy, result.target
    if best.kind != result.accuracy.kind:
        yield Entry(label, f"{label} in the supernet", "run", result.arch, best, found_for=found_for)
    if not (run / "front.csv").exists():
        return
    for row in rows_of(run / "front.csv"):
        digest, arch = row["digest"], _arch_of_row(run, row["digest"], row["spec"])
        if arch != result.arch:
            accuracy = Score(row["top1"], row["standard_error"], best.images, best.kind)
            yield Entry(label, f"{label}/{digest[:8]}", "run", arch, accuracy, chosen=False, found_for=found_for)


def _arch_of_row(run: Path, digest: str, spec: str) -> ArchSpec:
    """Return the architecture of a row of a table; `InvalidInput` where spec and row do not match."""
    arch = load_arch(run / spec)
    if arch.digest != digest:
        raise InvalidInput(f"a table in {run} and {spec} do not match: the files were altered")
    return arch


def _numbered(groups: Sequence[Sequence[Entry]]) -> list[Entry]:
    """Return all entries in one list; items that share a label get numbers."""
    entries: list[Entry] = []
    labels = [group[0].item for group in groups]
    for i, group in enumerate(groups):
        suffix = f" ({labels[: i + 1].count(labels[i])})" if labels.count(labels[i]) > 1 else ""
        entries += [replace(entry, item=entry.item + suffix, name=entry.name + suffix) for entry in group]
    return entries


def arch_of(text: str | Path) -> ArchSpec:
    """Return the architecture of what `text` names; raises as `resolve`."""
    return resolve(text).arch


def is_run(text: str) -> bool:
    """Return whether `text` is the folder of a search."""
    return os.path.isfile(os.path.join(text, "experiment.json"))


def is_training(text: str) -> bool:
    """Return whether `text` is the folder of a finished training."""
    return os.path.isfile(os.path.join(text, "train.json"))
