"""The report of a run, finished or not: report.html, one self-contained page made from the files of its folder."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from latency_models.roofline import Roofline
from latency_models.target import abstract_target, load_target
from nas.errors import InvalidInput
from nas.files import read_json, write_whole
from nas.ops import Shape
from nas.records.networks import Entry, load_item
from nas.records.results import Result, display_text, load_result
from nas.report.page import architecture_place, figure_place, page
from nas.report.page_data import page_data
from nas.report.run_curves import Record, Stages, read_stages, stage_curves, training_curves
from nas.space.scaling import with_input
from nas.zoo import reference

REFERENCE = "mobilenetv4-conv-s"  # what the latencies of an abstract device are relative to


@dataclass(frozen=True)
class RunFiles:
    """The content of a run folder; None or empty where the run has not come that far."""

    name: str
    experiment: Record
    stages: Stages
    coarse: Result | None
    best: Result | None
    evaluated: pd.DataFrame | None
    entries: tuple[Entry, ...] = ()  # the best network and the front, or the result of the coarse stage
    training_curves: tuple[dict[str, Any], ...] = ()  # charts of a search over a supernet trained once
    finalists: pd.DataFrame | None = None  # accuracies of the finalists' proxies trained alone, if any were


def write_report(run: Path) -> Path:
    """Write report.html into the folder of a run, finished or interrupted, and return its path."""
    path = run / "report.html"
    write_whole(path, run_page(read_run(run)))
    return path


def read_run(run: Path) -> RunFiles:
    """Return the content of the folder `run`; `InvalidInput` where it is no run folder or a file is broken."""
    if not (run / "experiment.json").exists():
        raise InvalidInput(f"{run} is no run folder: it has no experiment.json")
    experiment = read_json(run / "experiment.json")
    return RunFiles(
        name=run.resolve().name,
        experiment=experiment if isinstance(experiment, dict) else {},
        stages=read_stages(run / "journal.jsonl"),
        coarse=load_result(run / "coarse.json") if (run / "coarse.json").exists() else None,
        best=load_result(run / "best.json") if (run / "best.json").exists() else None,
        evaluated=_read_evaluated(run / "evaluated.csv"),
        entries=tuple(_read_entries(run)),
        training_curves=tuple(training_curves(run)),
        finalists=_read_finalists(run / "finalists.csv"),
    )


def _read_evaluated(path: Path) -> pd.DataFrame | None:
    """Return the table of all evaluated networks, None where there is none yet."""
    if not path.exists():
        return None
    try:
        table = pd.read_csv(path)
        table["on_front"] = table["on_front"].astype(str) == "True"
        return table.astype({"latency": float, "top1": float})
    except (ValueError, KeyError) as error:  # pandas' own errors are ValueErrors
        raise InvalidInput(f"{path} is no table of evaluated networks ({error}); run the search again") from error


def _read_finalists(path: Path) -> pd.DataFrame | None:
    """Return a row per stage and finalist: accuracy in the supernet, then after each number of epochs trained alone."""
    if not path.exists():
        return None
    try:
        rows = pd.read_csv(path).astype({"top1": float, "supernet_top1": float, "epochs": int})
        rungs = rows.pivot(index=["stage", "digest", "supernet_top1"], columns="epochs", values="top1")
    except (ValueError, KeyError) as error:
        raise InvalidInput(f"{path} is no table of finalists ({error}); run the search again") from error
    return rungs.sort_values(list(rungs.columns)[::-1], ascending=False).sort_index(level="stage", sort_remaining=False)


def _read_entries(run: Path) -> list[Entry]:
    if (run / "best.json").exists():
        return load_item(run)
    if (run / "coarse.json").exists():
        coarse = load_result(run / "coarse.json")
        name = "after the coarse stage"
        return [Entry(name, name, "run", coarse.arch, coarse.accuracy, found_for=coarse.target)]
    return []


def run_page(run: RunFiles) -> str:
    """Return the report as HTML."""
    stages = {name: content for name, content in run.stages.items() if content[1]}
    parts = [f"<header><h1>Search {escape(run.name)}</h1>", *_summary(run), "</header><main>"]
    parts += _networks(run)
    if stages:
        parts += _section(
            "Progress",
            "Dashed: the latency budget of the stage. Argmax: the network with the most probable options.",
            figure_place("progress", "loss, accuracy, latency and entropy over the steps"),
        )
    if run.training_curves:
        text = "The training of the supernet, and the accuracy with its weights of every trial of the search, in order."
        label = "losses over the steps, accuracies over the trials"
        parts += _section("Progress", text, figure_place("curves", label))
    if any(start.get("decisions") for start, _ in stages.values()):
        parts += _section(
            "What the controller preferred",
            "Probability of every option over the steps, the first option at the bottom, and the entropy as a white "
            "line. Above each panel the most probable option at the end (for blocks: start + middle depthwise kernel).",
            figure_place("policy", "probabilities of the options over the steps"),
        )
    if run.finalists is not None:
        parts += _finalists_section(run.finalists)
    result = run.best or run.coarse
    parts += _latencies_section(result) if result is not None else []
    parts += ["<h2>Settings</h2>", _table(("setting", "value"), _flat(run.experiment), numbers=False), "</main>"]
    return page(f"Search {run.name}", "\n".join(parts), _data(run, stages), ("report",))


def _networks(run: RunFiles) -> list[str]:
    """Return the elements for the front, where there is one, and for the selected network block by block."""
    if run.best is None:
        return [architecture_place()] if run.entries else []
    text = (
        "Grey: all networks evaluated with the final weights of the supernet on the same validation images. The line "
        "is the Pareto front; dashed is the latency budget. Click a point, or press Enter on it, to see its network."
    )
    front = _section("Accuracy against latency", text, figure_place("panels", "accuracy against latency"))
    chooser = figure_place("targets", "choice of targets")
    return ['<div class="split"><div>', chooser, *front, "</div>", architecture_place(), "</div>"]


def _data(run: RunFiles, stages: Stages) -> dict[str, Any]:
    """Return the JSON data of the page: that of `page_data`, and the curves and evaluated networks of the run."""
    result = run.best or run.coarse
    data = page_data(run.entries, _models(result, run.experiment) if result else {}, first=0 if run.entries else None)
    data["shown"] = data["shown"][:1]  # the target of the search; the others can be chosen
    data["stages"] = [stage_curves(name, start, progress) for name, (start, progress) in stages.items()]
    data["curves"] = list(run.training_curves)
    if run.best is not None:
        data["latency_budgets"] = [run.best.latency_budget]  # per target, of the first ones
    if run.evaluated is not None:
        data["evaluated"] = [run.evaluated[["latency", "top1"]].to_numpy(float).tolist()]
        data["evaluated_kind"] = len(data["kinds"]) - 1  # the accuracies under shared weights, the last kind of a run
    return data


def _models(result: Result, experiment: Record) -> dict[str, Roofline]:
    """Return the latency model of the search, then those of the other targets, as far as they can still be made."""
    found = {result.target: _model(result.target, result, experiment)}
    for name in sorted(result.other_latencies_ms):
        found.setdefault(name, _model(name, result, {}))
    return {name: model for name, model in found.items() if model is not None}


def _summary(run: RunFiles) -> list[str]:
    """Return paragraphs about the result, or about how far an unfinished run has come."""
    if run.best is not None:
        return [_p(sentence) for sentence in result_sentences(run.best)]
    sentences = [f"This run has not finished, so it has no result yet; go on with: nas resume {run.name}"]
    for name, (_, progress) in run.stages.items():
        if progress:
            sentences.append(f"The {name} stage stands at step {progress[-1]['step']:,} of {progress[-1]['steps']:,}.")
    if run.coarse is not None:
        sentences.append("The coarse stage has found filters and depths, with the same block everywhere:")
        sentences += result_sentences(run.coarse)
    return [_p(sentence) for sentence in sentences]


def result_sentences(result: Result) -> list[str]:
    """Return the result as sentences, with everything that a reader must know before using its numbers."""
    kind, accuracy, shape = result.accuracy.kind, result.accuracy, result.arch.input_shape
    deviation = result.latency / result.latency_budget - 1
    sentences = [
        f"Found for {result.target}: a network of {result.macs:,} multiply-accumulates and {result.params:,} "
        f"parameters ({_kb(result.weight_bytes)} of weights, at most {_kb(result.peak_activation_bytes)} of "
        f"activations at once) for images of {_shape(shape)} and {result.arch.num_classes:,} classes.",
        f"Its predicted latency is {_number(result.latency)} {result.latency_unit}, {deviation:+.2%} against the "
        f"latency budget of {_number(result.latency_budget)} {result.latency_unit}. It is predicted by the latency "
        f"model '{result.latency_model}', not measured.",
        f"Top-1 accuracy: {accuracy.top1:.1%} ± {accuracy.standard_error:.1%} (one standard error) on "
        f"{accuracy.images:,} images of {kind.data}; obtained with: {display_text(kind.how)}.",
    ]
    if (shared := result.supernet_accuracy) not in (None, accuracy):
        sentences.append(f"With the supernet's shared weights it has {shared.top1:.1%} ± {shared.standard_error:.1%}.")
    if kind.width != 1 or kind.resolution != shape.height:
        sentences.append(
            f"This accuracy is the proxy's: the same blocks at {kind.resolution} px and {kind.width:g} times the "
            "width. Costs and latency are those of the target network. The accuracy ranks networks within this run; "
            "what the target network reaches is known only after training it."
        )
    share = f"{result.policy_entropy:.0%} of that of a uniform policy"
    sentences.append(
        f"The controller's policy ended with an entropy of {share}."
        if result.converged
        else f"Not converged: the controller's policy still has an entropy of {share}; a longer run may find better."
    )
    return [*sentences, *(f"Note: {note}" for note in result.notes)]


def _model(target: str, result: Result, experiment: Record) -> Roofline | None:
    """Return the latency model of a target or of the search's abstract device; None where it cannot be made."""
    settings = {**experiment, **experiment.get("settings", {})}
    try:
        if settings.get("ridge_point") is not None:
            side, _, channels = result.arch.input_shape
            scale = with_input(reference(REFERENCE), side, channels, result.arch.num_classes)
            return abstract_target(settings["ridge_point"], settings.get("peak_gmacs_per_s"), scale)
        return load_target(target).model(result.latency_model)
    except (InvalidInput, LookupError, TypeError):
        return None


def _finalists_section(rungs: pd.DataFrame) -> list[str]:
    text = "Top-1 in % of their proxies on the validation images: in the supernet, then trained alone for some epochs."
    head = ["stage", "network", "supernet", *(f"{epochs} epochs" for epochs in rungs.columns)]
    rows = [
        [stage, digest[:8], _top1(supernet), *map(_top1, values)]
        for (stage, digest, supernet), values in zip(rungs.index, rungs.to_numpy(), strict=True)
    ]
    return _section("Finalists", text, _table(head, rows))


def _top1(value: float) -> str:
    """Return an accuracy in percent, "" for NaN."""
    return "" if value != value else f"{100 * value:.1f}"


def _latencies_section(result: Result) -> list[str]:
    rows = sorted(result.other_latencies_ms.items(), key=lambda row: row[1])
    here = (f"{result.target} (searched for)", f"{_number(result.latency)} {result.latency_unit}")
    table = _table(("target", "predicted latency"), [here, *((name, f"{_number(ms)} ms") for name, ms in rows)])
    text = "For one image; nas targets --json says where each number comes from."
    return _section("Predicted latency on every target", text, table)


# --------------------------------------------------------------------------------------------------------------- HTML


def _p(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def _section(title: str, text: str, body: str) -> list[str]:
    return [f"<h2>{escape(title)}</h2>", _p(text, "soft"), body]


def _table(header: Sequence[str], rows: Iterable[Sequence[object]], numbers: bool = True) -> str:
    """Return an HTML table; with `numbers` all columns but the first are aligned to the right."""
    kind, own = (' class="number"', "") if numbers else ("", ' class="settings"')
    rows_html = [_cells("th", kind, header), *(_cells("td", kind, [str(value) for value in row]) for row in rows)]
    return f'<div class="wide" tabindex="0"><table{own}>{"".join(rows_html)}</table></div>'


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
    return f"{count / 1024:,.0f} KiB"
