"""`report.html` of a run folder, finished or not, made from its files alone: one page without any outside part."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latency_models.roofline import Roofline
from latency_models.target import abstract_target, load_target
from nas.errors import InvalidInput
from nas.files import read_json, write_whole
from nas.ops import Shape
from nas.records.networks import Entry, load_item
from nas.records.results import Result, load_result
from nas.report.page import detail, figure
from nas.report.page import page as filled
from nas.report.page_data import page_data
from nas.report.run_curves import Record, Stages, read_journal, stage_columns, training_curves
from nas.space.scaling import with_input
from nas.zoo import reference

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "mobilenetv4-conv-s"  # what the latencies of an abstract device are relative to


@dataclass(frozen=True)
class RunFiles:
    """What stands in a run folder; None or empty where the run has not come that far."""

    name: str
    experiment: Record
    stages: Stages
    coarse: Result | None
    best: Result | None
    evaluated: "pd.DataFrame | None"
    entries: tuple[Entry, ...] = ()  # the found network and its front, or what the coarse stage found
    training_curves: tuple[dict[str, Any], ...] = ()  # charts of a search over a supernet trained once
    finalists: "pd.DataFrame | None" = None  # accuracies of the proxies trained alone, where there were any


def write_report(run: Path) -> Path:
    """Write report.html into the folder of a run, finished or interrupted, and return its path."""
    path = run / "report.html"
    write_whole(path, page(read_run(run)))
    return path


def read_run(run: Path) -> RunFiles:
    """Return the content of the folder `run`; `InvalidInput` where it is no run folder or a file is broken."""
    if not (run / "experiment.json").exists():
        raise InvalidInput(f"{run} is no run folder: it has no experiment.json")
    experiment = read_json(run / "experiment.json")
    return RunFiles(
        name=run.resolve().name,
        experiment=experiment if isinstance(experiment, dict) else {},
        stages=read_journal(run / "journal.jsonl"),
        coarse=load_result(run / "coarse.json") if (run / "coarse.json").exists() else None,
        best=load_result(run / "best.json") if (run / "best.json").exists() else None,
        evaluated=_evaluated(run / "evaluated.csv"),
        entries=tuple(_entries(run)),
        training_curves=tuple(training_curves(run)),
        finalists=_finalists(run / "finalists.csv"),
    )


def _evaluated(path: Path) -> "pd.DataFrame | None":
    import pandas as pd

    if not path.exists():
        return None
    try:
        table = pd.read_csv(path)
        table["on_front"] = table["on_front"].astype(str) == "True"
        return table.astype({"latency": float, "top1": float})
    except (ValueError, KeyError) as error:  # pandas' own errors are ValueErrors
        raise InvalidInput(f"{path} is no table of evaluated networks ({error}); run the search again") from error


def _finalists(path: Path) -> "pd.DataFrame | None":
    """Return a row per stage and finalist: its accuracy in the supernet, then after each number of epochs alone."""
    import pandas as pd

    if not path.exists():
        return None
    try:
        rows = pd.read_csv(path).astype({"top1": float, "supernet_top1": float, "epochs": int})
        rungs = rows.pivot(index=["stage", "digest", "supernet_top1"], columns="epochs", values="top1")
    except (ValueError, KeyError) as error:
        raise InvalidInput(f"{path} is no table of finalists ({error}); run the search again") from error
    return rungs.sort_values(list(rungs.columns)[::-1], ascending=False).sort_index(level="stage", sort_remaining=False)


def _entries(run: Path) -> list[Entry]:
    if (run / "best.json").exists():
        return load_item(run)
    if (run / "coarse.json").exists():
        coarse = load_result(run / "coarse.json")
        name = "after the coarse stage"
        return [Entry(name, name, "run", coarse.arch, coarse.accuracy, found_for=coarse.target)]
    return []


def page(run: RunFiles) -> str:
    """Return the whole page."""
    stages = {name: content for name, content in run.stages.items() if content[1]}
    parts = [f"<header><h1>Search {escape(run.name)}</h1>", *_summary(run), "</header><main>"]
    parts += _found(run)
    if stages:
        parts += _section(
            "Progress",
            "Dashed: the latency that the stage aims at. The best guess takes the likeliest option of every decision.",
            figure("progress", "loss, accuracy, latency and entropy over the steps"),
        )
    if run.training_curves:
        words = "The supernet that gives the accuracies, and every network that the search asked it about, in order."
        parts += _section("Progress", words, figure("courses", "losses over the steps, accuracies over the trials"))
    if any(start.get("decisions") for start, _ in stages.values()):
        parts += _section(
            "What the controller preferred",
            "Probability of every option over the steps, the first option at the bottom, and the entropy as a white "
            "line. Above each panel the likeliest option at the end (for blocks: start + middle depthwise kernel).",
            figure("choices", "probabilities of the options over the steps"),
        )
    if run.finalists is not None:
        parts += _retraining(run.finalists)
    shown = run.best or run.coarse
    parts += _latencies(shown) if shown is not None else []
    parts += ["<h2>Settings</h2>", _table(("setting", "value"), _flat(run.experiment), numbers=False), "</main>"]
    return filled(f"Search {run.name}", "\n".join(parts), _data(run, stages), ("report",))


def _found(run: RunFiles) -> list[str]:
    """Return the places of the front, where there is one, and of the network block by block."""
    if run.best is None:
        return [detail()] if run.entries else []
    words = (
        "Grey: all networks evaluated with the final weights of the supernet on the same validation images. The line "
        "joins those that no other beats; dashed is the latency budget. Click a point, or press Enter on it, to see "
        "its network."
    )
    front = _section("Accuracy against latency", words, figure("panels", "accuracy against latency"))
    chooser = figure("targets", "choice of targets")
    return ['<div class="split"><div>', chooser, *front, "</div>", detail(), "</div>"]


def _data(run: RunFiles, stages: Stages) -> dict[str, Any]:
    """Return what the scripts draw."""
    shown = run.best or run.coarse
    data = page_data(run.entries, _models(shown, run.experiment) if shown else {}, first=0 if run.entries else None)
    data["shown"] = data["shown"][:1]  # the target of the search; the others can be chosen
    data["stages"] = [stage_columns(name, start, chunks) for name, (start, chunks) in stages.items()]
    data["courses"] = list(run.training_curves)
    if run.best is not None:
        data["wanted"] = [run.best.latency_budget]
    if run.evaluated is not None:
        data["background"] = [run.evaluated[["latency", "top1"]].to_numpy(float).tolist()]
        data["grounded"] = len(data["kinds"]) - 1  # the accuracies under shared weights, the last kind of a run
    return data


def _models(result: Result, experiment: Record) -> dict[str, Roofline]:
    """Return the model of the search, then those of the other targets; without those that cannot be made again."""
    found = {result.target: _model(result.target, result, experiment)}
    for name in sorted(result.other_latencies_ms):
        found.setdefault(name, _model(name, result, {}))
    return {name: model for name, model in found.items() if model is not None}


def _summary(run: RunFiles) -> list[str]:
    if run.best is not None:
        return [_p(sentence) for sentence in sentences(run.best)]
    said = [f"This run has not finished, so it has no result yet; go on with: nas resume {run.name}"]
    for name, (_, chunks) in run.stages.items():
        if chunks:
            said.append(f"The {name} stage stands at step {chunks[-1]['step']:,} of {chunks[-1]['steps']:,}.")
    if run.coarse is not None:
        said.append("The coarse stage has found filters and depths, with the same block everywhere:")
        said += sentences(run.coarse)
    return [_p(sentence) for sentence in said]


def sentences(result: Result) -> list[str]:
    """Return the result in words, with everything that a reader must know before using its numbers."""
    kind, accuracy, shape = result.accuracy.kind, result.accuracy, result.arch.input_shape
    deviation = result.latency / result.latency_budget - 1
    said = [
        f"Found for {result.target}: a network of {result.macs:,} multiply-accumulates and {result.params:,} "
        f"parameters ({_kb(result.weight_bytes)} of weights, at most {_kb(result.peak_activation_bytes)} of "
        f"activations at once) for images of {_shape(shape)} and {result.arch.num_classes:,} classes.",
        f"Its predicted latency is {_number(result.latency)} {result.latency_unit}, {deviation:+.2%} against the "
        f"wanted {_number(result.latency_budget)} {result.latency_unit}. It is predicted by the latency model "
        f"'{result.latency_model}', not measured.",
        f"Top-1 accuracy: {accuracy.top1:.1%} ± {accuracy.standard_error:.1%} (one standard error) on "
        f"{accuracy.images:,} images of {kind.data}; obtained with: {kind.how}.",
    ]
    if (shared := result.supernet_accuracy) not in (None, accuracy):
        said.append(f"With the supernet's shared weights it has {shared.top1:.1%} ± {shared.standard_error:.1%}.")
    if kind.width != 1 or kind.resolution != shape.height:
        said.append(
            f"This accuracy is the proxy's: the same blocks at {kind.resolution} px and {kind.width:g} times the "
            "width. Costs and latency are those of the deployed network. The accuracy ranks networks within this run; "
            "what the deployed network reaches is known only after training it."
        )
    share = f"{result.policy_entropy:.0%} of that of a uniform policy"
    said.append(
        f"The controller's policy ended with an entropy of {share}."
        if result.converged
        else f"Not converged: the controller's policy still has an entropy of {share}; a longer run may find better."
    )
    return [*said, *(f"Note: {note}" for note in result.notes)]


def _model(target: str, result: Result, experiment: Record) -> Roofline | None:
    """Return the latency model of a target, also the abstract one of the search; None where it cannot be made again."""
    settings = {**experiment, **experiment.get("settings", {})}
    try:
        if settings.get("ridge_point") is not None:
            side, _, channels = result.arch.input_shape
            scale = with_input(reference(REFERENCE), side, channels, result.arch.num_classes)
            return abstract_target(settings["ridge_point"], settings.get("peak_gmacs_per_s"), scale)
        return load_target(target).model(result.latency_model)
    except (InvalidInput, LookupError, TypeError):
        return None


def _retraining(rungs: "pd.DataFrame") -> list[str]:
    words = "Top-1 in % of their proxies on the validation images: in the supernet, then trained alone for some epochs."
    head = ["stage", "network", "supernet", *(f"{epochs} epochs" for epochs in rungs.columns)]
    rows = [
        [stage, digest[:8], _top1(supernet), *map(_top1, values)]
        for (stage, digest, supernet), values in zip(rungs.index, rungs.to_numpy(), strict=True)
    ]
    return _section("Finalists", words, _table(head, rows))


def _top1(value: float) -> str:
    return "" if value != value else f"{100 * value:.1f}"


def _latencies(result: Result) -> list[str]:
    rows = sorted(result.other_latencies_ms.items(), key=lambda row: row[1])
    here = (f"{result.target} (searched for)", f"{_number(result.latency)} {result.latency_unit}")
    table = _table(("target", "predicted latency"), [here, *((name, f"{_number(ms)} ms") for name, ms in rows)])
    words = "For one image; nas targets --json says where each figure comes from."
    return _section("Predicted latency on every target", words, table)


# --------------------------------------------------------------------------------------------------------------- HTML


def _p(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def _section(title: str, words: str, body: str) -> list[str]:
    return [f"<h2>{escape(title)}</h2>", _p(words, "soft"), body]


def _table(header: Sequence[str], rows: Iterable[Sequence[object]], numbers: bool = True) -> str:
    """Return a table; where it has `numbers`, they stand to the right in all columns but the first."""
    kind, own = (' class="number"', "") if numbers else ("", ' class="words"')
    lines = [_cells("th", kind, header), *(_cells("td", kind, [str(value) for value in row]) for row in rows)]
    return f'<div class="wide" tabindex="0"><table{own}>{"".join(lines)}</table></div>'


def _cells(tag: str, kind: str, values: Sequence[str]) -> str:
    first, *others = map(escape, values)
    return f"<tr><{tag}>{first}</{tag}>{''.join(f'<{tag}{kind}>{value}</{tag}>' for value in others)}</tr>"


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as (dotted name, value)."""
    rows: list[tuple[str, str]] = []
    for key, part in value.items():
        rows += _flat(part, f"{prefix}{key}.") if isinstance(part, dict) else [(f"{prefix}{key}", json.dumps(part))]
    return rows


def _shape(shape: Shape) -> str:
    return "x".join(str(size) for size in shape)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _kb(count: float) -> str:
    return f"{count / 1024:,.0f} KB"
