"""Architectures side by side on several targets: accuracy against latency, fronts, hypervolumes, references for scale.

Only accuracies of one kind (data, resolution, width, how obtained) share a front, a hypervolume or an axis. What has no
accuracy is compared by latency alone; so are the MobileNet references, whose published accuracies are of another kind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from latency_models.target import load_target
from nas.arch import ArchSpec, load_arch
from nas.errors import InvalidInput, unknown_name
from nas.files import read_json, write_whole
from nas.pareto import hypervolume_2d, non_dominated
from nas.proxy import redeployed
from nas.results import Accuracy, AccuracyKind, Result, load_result, result_of_run
from nas.zoo import YARDSTICKS, ZOO, is_reference, reference

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from nas.ridge_sweep import Candidate

Source = Literal["run", "spec", "reference"]
TRAINED_ALONE = "trained alone, test pictures"  # how `nas train` obtains an accuracy
HYPERVOLUME_MARGIN = 1.1  # the reference point lies at this multiple of the largest latency, at accuracy 0


@dataclass(frozen=True)
class Entry:
    """One architecture to compare. `item` is the run, file or network that it came from, `name` its own label."""

    item: str
    name: str
    source: Source
    arch: ArchSpec
    accuracy: Accuracy | None = None
    chosen: bool = True  # False for the other members of a run's front


@dataclass(frozen=True)
class Comparison:
    """What was compared, as data frames.

    `rows`: one row per architecture and target: item, name, source, chosen, digest, target, latency_ms, top1,
    standard_error, accuracy_kind ("" without accuracy), macs, params, on_front (within target and kind).
    `hypervolumes`: target, accuracy_kind, item ("all" for all together), points, reference_latency_ms, hypervolume in
    ms x top-1: the area between the points and (reference latency, top-1 of 0).
    """

    rows: "pd.DataFrame"
    hypervolumes: "pd.DataFrame"
    targets: tuple[str, ...]
    latency_model: str
    notes: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of accuracy that occur, in order of appearance."""
        return tuple(kind for kind in self.rows["accuracy_kind"].unique() if kind)


def compare(items: Sequence[str | Path], targets: Sequence[str], latency_model: str = "default") -> Comparison:
    """Return the comparison of `items`: run folders, folders of trained networks, spec files, names of references.

    The references are added for the input and classes of every compared network, without accuracy. Raises
    `InvalidInput` or `UnknownName` in one line for an item that is none of these and for an unknown target or model.
    """
    import pandas as pd

    if not items or not targets:
        raise InvalidInput("compare needs at least one run, spec or reference network and one target")
    models = {target: load_target(target).model(latency_model) for target in dict.fromkeys(targets)}
    entries = _numbered([load_item(item) for item in dict.fromkeys(map(str, items))])
    references, notes = _references(entries)
    notes += _proxy_notes(entries)
    entries = [entry for entry in entries if entry.source != "reference" or not references] + references
    rows = pd.DataFrame([_row(entry, target, model.predict_ms(entry.arch))
                         for target, model in models.items() for entry in entries])  # fmt: skip
    rows["on_front"] = False
    volumes = []
    for (target, kind), group in _groups(rows):
        rows.loc[group.index, "on_front"] = non_dominated(group[["latency_ms", "top1"]].to_numpy(), (True, False))
        volumes += _hypervolumes(str(target), str(kind), group)
    columns = ["target", "accuracy_kind", "item", "points", "reference_latency_ms", "hypervolume"]
    return Comparison(rows, pd.DataFrame(volumes, columns=columns), tuple(models), latency_model, notes, tuple(entries))


def load_item(item: str | Path) -> list[Entry]:
    """Return what one item of a comparison stands for: a run has its result and its front, all else one entry."""
    path, name = Path(item), str(item)
    label = path.resolve().name.removesuffix(".json")
    if (path / "train.json").exists():
        arch, accuracy = load_trained(path)  # of a proxy, where one was trained: see `_proxy_notes`
        return [Entry(label, label, "run", arch, accuracy)]
    if path.is_dir():
        result = result_of_run(path)
        return [Entry(label, label, "run", result.arch, result.accuracy), *_front(path, label, result)]
    if path.is_file():
        data = read_json(path)
        if isinstance(data, dict) and data.get("schema") == "nas.result":
            found = load_result(path)
            return [Entry(label, label, "run", found.arch, found.accuracy)]
        return [Entry(label, label, "spec", load_arch(path))]
    if is_reference(name):
        return [Entry(name, name, "reference", reference(name))]
    if path.suffix or len(path.parts) > 1:
        raise InvalidInput(f"there is no run folder and no spec file {name}; give one, or a name of: nas zoo")
    raise unknown_name("run, spec file or reference network", name, ZOO)


def load_trained(folder: Path) -> tuple[ArchSpec, Accuracy]:
    """Return the spec that a training was for and the test accuracy it reached, from the folder's train.json."""
    path = folder / "train.json"
    data = read_json(path)
    try:
        kind = AccuracyKind(**data["accuracy"]["kind"])
        return ArchSpec.from_dict(data["arch"]), Accuracy(**(data["accuracy"] | {"kind": kind}))
    except (TypeError, KeyError) as error:
        raise InvalidInput(f"{path} is no result of a training ({error}); train again with: nas train") from error


def table(comparison: Comparison) -> "Table":
    """Return the comparison as a rich table: per target the chosen networks and the front, then the references."""
    from rich.table import Table
    from rich.text import Text

    letters = {kind: chr(ord("A") + i) for i, kind in enumerate(comparison.kinds)}
    legend = [f"{letter} = {kind}" for kind, letter in letters.items()]
    about_front = "front: not dominated on this target among equal kinds of accuracy"
    caption = Text("\n".join([about_front, *legend]))
    shown = Table(title="accuracy against latency", title_justify="left", caption=caption, caption_justify="left")
    shown.add_column("target", overflow="fold")
    shown.add_column("network", overflow="fold")
    for column in ("ms", "top-1 %", "kind", "front", "MACs", "parameters"):
        shown.add_column(column, justify="right")
    rows = comparison.rows.assign(scale=comparison.rows["source"] == "reference")
    rows = rows[rows["chosen"] | rows["on_front"]]
    for target in comparison.targets:
        for row in records(rows[rows["target"] == target].sort_values(["scale", "latency_ms"])):
            kind, mark = letters.get(row["accuracy_kind"], "-"), "*" if row["on_front"] else ""
            top1 = "-" if kind == "-" else f"{100 * row['top1']:.1f} ± {100 * row['standard_error']:.1f}"
            counts = f"{row['macs']:,}", f"{row['params']:,}"
            shown.add_row(target, Text(row["name"]), f"{row['latency_ms']:.3f}", top1, kind, mark, *counts)
        shown.add_section()
    return shown


def records(rows: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return the rows as dictionaries."""
    return [dict(zip(rows.columns, values, strict=True)) for values in rows.itertuples(index=False)]


def write(comparison: Comparison, out: Path) -> list[Path]:
    """Write comparison.csv, hypervolume.csv and compare.png into the existing folder `out`; return the paths."""
    from nas.compare_picture import picture

    paths = [out / "comparison.csv", out / "hypervolume.csv", out / "compare.png"]
    write_whole(paths[0], comparison.rows.to_csv(index=False))
    write_whole(paths[1], comparison.hypervolumes.to_csv(index=False))
    write_whole(paths[2], picture(comparison))
    return paths


def ridge_candidates(comparison: Comparison) -> "tuple[list[Candidate], list[str]]":
    """Return what a ridge sweep of the comparison shows, and the names of compared networks without an accuracy.

    Runs and trainings have the accuracy they reached. The reference networks have their published one, a kind of its
    own: those that were compared, or beside runs and specs the usual ones, each at its own resolution.
    """
    from nas.ridge_sweep import Candidate, has_accuracy, published_candidates

    own = [entry for entry in comparison.entries if entry.source != "reference"]
    named = [] if own else [entry.name for entry in comparison.entries]
    found = [Candidate(one.name, one.arch, one.accuracy.top1, _kind_text(one.accuracy.kind))
             for one in own if one.accuracy]  # fmt: skip
    found += published_candidates([name for name in named if has_accuracy(name)] if named else YARDSTICKS)
    without = [one.name for one in own if not one.accuracy] + [name for name in named if not has_accuracy(name)]
    return found, without


def _front(run: Path, label: str, result: Result) -> Iterator[Entry]:
    """Yield the other specs of the run's front, whose accuracies are of the kind of its best one."""
    import pandas as pd

    path = run / "front.csv"
    if not path.exists():
        return
    try:
        rows = pd.read_csv(path, dtype={"digest": str, "spec": str})
        members = list(zip(rows["digest"], rows["spec"], rows["top1"].astype(float),
                           rows["standard_error"].astype(float), strict=True))  # fmt: skip
    except (ValueError, KeyError) as error:  # pandas' own errors are ValueErrors
        raise InvalidInput(f"{path} is no table of a front ({error}); run the search again") from error
    best = result.accuracy
    for digest, spec, top1, standard_error in members:
        arch = load_arch(run / str(spec))
        if arch.digest != digest or not 0 <= top1 <= 1:
            raise InvalidInput(f"{path} and {spec} do not match, or the accuracy is none: the files were altered")
        if digest != result.arch.digest:
            accuracy = Accuracy(top1, standard_error, best.pictures, best.kind)
            yield Entry(label, f"{label}/{digest[:8]}", "run", arch, accuracy, chosen=False)


def _numbered(groups: Sequence[Sequence[Entry]]) -> list[Entry]:
    """Return all entries in one list; items with the same label get a number."""
    entries: list[Entry] = []
    labels = [group[0].item for group in groups]
    for i, group in enumerate(groups):
        suffix = f" ({labels[: i + 1].count(labels[i])})" if labels.count(labels[i]) > 1 else ""
        entries += [replace(entry, item=entry.item + suffix, name=entry.name + suffix) for entry in group]
    return entries


def _references(entries: Sequence[Entry]) -> tuple[list[Entry], tuple[str, ...]]:
    """Return the reference networks for each input and number of classes that occurs, and what to say of them."""
    own = [entry.arch for entry in entries if entry.source != "reference"]
    deployments = list(dict.fromkeys((arch.input_shape, arch.num_classes) for arch in own))
    found, notes = [], []
    for shape, classes in deployments:
        words = f"{shape.height}x{shape.width}x{shape.channels}, {classes:,} classes"
        if shape.height != shape.width:
            notes.append(f"no references for {words}: they take square pictures")
            continue
        for name in YARDSTICKS:
            arch = redeployed(reference(name), shape.height, shape.channels, classes)
            label = name if len(deployments) == 1 else f"{name} at {shape.height} px"
            found.append(Entry(label, label, "reference", arch))
        notes.append(f"references rebuilt for {words}: latency only")
    return found, tuple(notes)


def _proxy_notes(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return a warning for every network that was trained as a proxy: what was trained has the proxy's latency."""
    return tuple(
        f"{entry.name} was trained as a proxy: its latency is that of the small network, not of a deployed one"
        for entry in entries
        if entry.accuracy and entry.accuracy.kind.width != 1 and entry.accuracy.kind.how == TRAINED_ALONE
    )


def _row(entry: Entry, target: str, latency_ms: float) -> dict[str, object]:
    accuracy = entry.accuracy
    return {
        "item": entry.item,
        "name": entry.name,
        "source": entry.source,
        "chosen": entry.chosen,
        "digest": entry.arch.digest,
        "target": target,
        "latency_ms": latency_ms,
        "top1": accuracy.top1 if accuracy else np.nan,
        "standard_error": accuracy.standard_error if accuracy else np.nan,
        "accuracy_kind": _kind_text(accuracy.kind) if accuracy else "",
        "macs": entry.arch.macs,
        "params": entry.arch.params,
    }


def _kind_text(kind: AccuracyKind) -> str:
    """Return the kind in words; the digest keeps two data sets of one name apart."""
    return f"{kind.label()} (data {kind.data_digest[:8]})"


def _groups(rows: "pd.DataFrame") -> Iterator[tuple[Any, "pd.DataFrame"]]:
    """Yield ((target, kind), rows) for every kind of accuracy."""
    with_accuracy = rows[rows["accuracy_kind"] != ""]
    yield from with_accuracy.groupby(["target", "accuracy_kind"], sort=False)


def _hypervolumes(target: str, kind: str, group: "pd.DataFrame") -> list[tuple[str, str, str, int, float, float]]:
    """Return the hypervolume of all points of one target and kind, and where there are several items, of each."""
    corner = HYPERVOLUME_MARGIN * float(group["latency_ms"].max())
    parts = [("all", group)]
    if group["item"].nunique() > 1:
        parts += [(str(item), part) for item, part in group.groupby("item", sort=False)]
    found = []
    for item, part in parts:
        points = np.stack([part["latency_ms"], 1 - part["top1"]], axis=1)
        found.append((target, kind, item, len(part), corner, hypervolume_2d(points, (corner, 1.0))))
    return found
