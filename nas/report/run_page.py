"""The report of a run, finished or not: report.html, one self-contained page made from the files of its folder."""

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from latency_models.roofline import Roofline
from nas.errors import InvalidInput
from nas.files import write_whole
from nas.ops import Shape, Size
from nas.records.experiment import read_experiment
from nas.records.front import Front, load_front
from nas.records.model_evidence import ModelEvidence, load_evidence
from nas.records.named_code import code_flags
from nas.records.networks import Entry, load_item
from nas.records.picks import Picks, load_picks
from nas.records.results import (
    FILE_KEYS,
    TOP1,
    Result,
    axis_of,
    display_text,
    heading_of,
    load_result,
    metric_of,
    metric_of_run,
    points_text,
    share_text,
    standard_error,
    title_by_name,
)
from nas.records.tables import frame_of, rows_of
from nas.records.verdict import Verdict, load_verdict
from nas.report.baseline import REFERENCE, Beside, beside, compared_data, pick_entries
from nas.report.known_error import error_of_result, error_of_target, error_text
from nas.report.markup import fold, kibibytes, number, paragraph, section, table
from nas.report.page import architecture_place, figure_place, page, rounded
from nas.report.page_data import page_data
from nas.report.recomputed import model_of_run
from nas.report.result_card import (
    BaselineFigures,
    result_card,
    result_tiles,
    share_gauge,
)
from nas.report.run_curves import Record, Stages, read_stages, stage_curves, training_curves

AROUND = 0.01  # of the latency budget: how far off a run may be that aims at it from both sides
TABLES = ("front.csv", "evaluated.csv", "finalists.csv")  # offered by the page for saving
LARGEST_TABLE = 400_000  # bytes of a CSV that is put into a page


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
    verdict: Verdict | None = None  # against the baseline
    picks: Picks | None = None  # what is as good within the noise
    evidence: ModelEvidence | None = None  # of a search with an accuracy model
    front: Front | None = None  # of a search for a whole one
    metric: str = TOP1  # the name of what the scores are
    tables: Mapping[str, str] = field(default_factory=dict)  # the CSV files that the page offers, by name


def write_report(run: Path, defaults: Mapping[str, Any] | None = None) -> Path:
    """Write report.html into the folder of a run, finished or interrupted, and return its path.

    Of the settings, those that differ from the `defaults` (name -> value) are shown, and the others folded.
    """
    path = run / "report.html"
    write_whole(path, run_page(read_run(run), defaults or {}))
    return path


def read_run(run: Path) -> RunFiles:
    """Return the content of the folder `run`; `InvalidInput` where it is no run folder or a file is broken."""
    if not (run / "experiment.json").exists():
        raise InvalidInput(f"{run} is no run folder: it has no experiment.json")
    experiment = read_experiment(run)
    best, coarse = (load_result(run / name) if (run / name).exists() else None for name in ("best.json", "coarse.json"))
    known = best or coarse
    metric = known.accuracy.kind.metric if known else metric_of_run(experiment)
    picks, entries = load_picks(run), _read_entries(run)
    if best:
        entries += pick_entries(run, entries[0].item, best, picks, entries)
    return RunFiles(
        name=run.resolve().name,
        experiment=experiment,
        stages=read_stages(run / "journal.jsonl"),
        coarse=coarse,
        best=best,
        evaluated=_read_evaluated(run / "evaluated.csv"),
        entries=tuple(entries),
        training_curves=tuple(training_curves(run, metric)),
        finalists=_read_finalists(run / "finalists.csv"),
        verdict=load_verdict(run) if best else None,
        picks=picks,
        evidence=load_evidence(run),
        front=load_front(run),
        metric=metric,
        tables={name: text for name in TABLES if (text := _table_text(run / name))},
    )


def _table_text(path: Path) -> str:
    """Return a CSV file as text, "" where there is none or where it is too large for a page."""
    if not path.is_file() or path.stat().st_size > LARGEST_TABLE:
        return ""
    rows_of(path)  # which refuses what is no text, or no table
    return path.read_text(encoding="utf-8")


def _read_evaluated(path: Path) -> pd.DataFrame | None:
    """Return the table of all evaluated networks, None where there is none yet."""
    if not path.exists():
        return None
    table = frame_of(path)
    table["on_front"] = table["on_front"].astype(str) == "True"
    return table.astype({"latency": float, "top1": float})


def _read_finalists(path: Path) -> pd.DataFrame | None:
    """Return a row per stage and finalist: accuracy in the supernet, then after each number of epochs trained alone.

    Columns are ("top1", epochs) and ("standard_error", epochs), of a score that is no share as the file has it.
    """
    if not path.exists():
        return None
    rows = frame_of(path).astype({"top1": float, "supernet_top1": float, "epochs": int})
    try:
        rows["images"] = rows[FILE_KEYS["images"]].astype(int)
        index = ["stage", "digest", "supernet_top1", "images"]
        if "standard_error" not in rows:
            rows["standard_error"] = math.nan
        rungs = rows.pivot(index=index, columns="epochs", values=["top1", "standard_error"])
    except (ValueError, KeyError) as error:
        raise InvalidInput(f"{path} is no table of finalists ({error}); run the search again") from error
    longest_first = list(rungs.columns[rungs.columns.get_level_values(0) == "top1"])[::-1]
    return rungs.sort_values(longest_first, ascending=False).sort_index(level="stage", sort_remaining=False)


def _read_entries(run: Path) -> list[Entry]:
    if (run / "best.json").exists():
        return load_item(run)
    if (run / "coarse.json").exists():
        coarse = load_result(run / "coarse.json")
        name = "after the coarse stage"
        return [Entry(name, name, "run", coarse.arch, coarse.accuracy, found_for=coarse.target)]
    return []


def run_page(run: RunFiles, defaults: Mapping[str, Any] | None = None) -> str:
    """Return the report as HTML."""
    stages = {name: content for name, content in run.stages.items() if content[1]}
    result = run.best or run.coarse
    models = _models(result, run.experiment) if result else {}
    extra = beside(run.best, run.verdict, _setting(run, "drop_strides")) if run.best else Beside(None)
    parts = [
        f"<header><h1>Search {escape(run.name)}</h1>",
        paragraph(_subject(run), "eyebrow"),
        *_top(run, models, extra.baseline),
    ]
    parts += ["</header><main>", *_networks(run, extra), *_progress(run, stages)]
    if any(start.get("decisions") for start, _ in stages.values()):
        parts += section(
            "What the controller preferred",
            "Probability of every option over the steps, the first option at the bottom, and the entropy as a white "
            "line. Above each panel the most probable option at the end.",
            figure_place("policy", "probabilities of the options over the steps"),
        )
    if run.evidence is not None:
        parts += _model_section(run.evidence, run.metric)
    if run.finalists is not None:
        parts += _finalists_section(run.finalists, run.metric)
    parts += [*_settings(run.experiment, defaults or {}), "</main>"]
    return page(f"Search {run.name}", "\n".join(parts), _data(run, stages, models, extra), ("report",))


def _subject(run: RunFiles) -> str:
    """Return what the run searched for in one line: space, target, data, preset and seed, as far as it says so."""
    settings = run.experiment.get("settings")
    values = {**run.experiment, **settings} if isinstance(settings, dict) else run.experiment
    known = [(name, values.get(name)) for name in ("space", "target", "data", "algorithm", "preset", "seed")]
    return " \u00b7 ".join(f"{name} {value}" for name, value in known if isinstance(value, str | int))


def _top(run: RunFiles, models: Mapping[str, Roofline], baseline: Entry | None) -> list[str]:
    """Return the card of a finished run with what can be saved, or how far an unfinished one has come."""
    if run.best is None:
        return [f'<div class="card">{"".join(_unfinished(run))}</div>']
    model = next(iter(models.values()), None)
    figures = _baseline_figures(baseline, model, run.verdict) if baseline and model else None
    numbers = {entry.arch.digest: i for i, entry in reversed(list(enumerate(run.entries)))}
    about = "".join(map(paragraph, result_sentences(run.best)))
    tolerance = AROUND if _setting(run, "around") else 0.0
    return [
        result_card(run.best, run.verdict, figures, run.picks, remarks(run.best), numbers, tolerance),
        figure_place("downloads", "files to save"),
        fold("What these numbers are, and are not", about),
    ]


def _setting(run: RunFiles, name: str) -> bool:
    """Return a setting that is yes or no; yes for runs of releases without it, which did so."""
    settings = run.experiment.get("settings")
    return bool(settings.get(name, True)) if isinstance(settings, dict) else True


def _baseline_figures(baseline: Entry, model: Roofline, verdict: Verdict | None) -> BaselineFigures:
    arch, accuracy = baseline.arch, verdict.baseline.accuracy if verdict else None
    name = verdict.baseline.name if verdict else REFERENCE
    return BaselineFigures(name, model.predict_ms(arch), arch.macs, arch.params, accuracy)


def _progress(run: RunFiles, stages: Stages) -> list[str]:
    """Return the elements for the curves over the steps of a joint search, or over the trials of a supernet."""
    parts: list[str] = []
    if stages:
        parts += section(
            "Progress",
            "Dashed: the latency budget of the stage. Argmax: the network with the most probable options.",
            figure_place("progress", "loss, accuracy, latency and entropy over the steps"),
        )
    if run.training_curves:
        text = "The training of the supernet, and the accuracy with its weights of every trial of the search, in order."
        if run.evidence is not None:
            text = "The trainings in order, and what the model predicts for each network from the others alone."
        label = "losses over the steps, accuracies over the trials"
        parts += section("Progress", text, figure_place("curves", label))
    return parts


def _networks(run: RunFiles, extra: Beside) -> list[str]:
    """Return the elements for the front, where there is one, and for the selected network block by block."""
    if run.best is None:
        return [architecture_place()] if run.entries else []
    line = "the Pareto front of all networks evaluated" if not run.front else "the front of the networks evaluated"
    text = (
        f"Bars: one standard error. The line is {line} {evaluated_how(run)}. Click a point, "
        "or press Enter on it, to see its network."
    )
    chooser = figure_place("targets", "choice of targets")
    front = section("Accuracy against latency", text, chooser + figure_place("panels", "accuracy against latency"))
    front += _budgets(run.front) if run.front else []
    parts = ['<div class="split"><div>', *front, *_latencies_section(run.best, extra.baseline), "</div>"]
    parts += [architecture_place(), "</div>"]
    if extra.baseline or len(run.entries) > 1:
        text = f"Two networks side by side, block by block{': found and baseline' if extra.baseline else ''}"
        parts.append(fold(text, figure_place("pair", text)))
    return parts


def evaluated_how(run: RunFiles) -> str:
    """Return how the accuracies of evaluated.csv were obtained, as the end of a sentence."""
    if run.evidence is not None:
        return "trained alone, by what their trainings and the accuracy model estimate for the full length"
    return "evaluated with the final weights of the supernet on the same validation images"


def _budgets(front: Front) -> list[str]:
    """Return the elements for the latency budgets of a whole front, and the network that answers each."""
    text = (
        f"The most accurate network evaluated for each latency budget. They cover {front.share_spanned:.0%} of the "
        "range of the budgets, in the logarithm. Where one network answers several budgets, no slower one that was "
        "evaluated is more accurate. Without luck: less what the best of several scores is expected to flatter at most."
    )
    unit, metric = front.latency_unit, metric_of(front.accuracy_kind)

    def shown(value: float) -> str:
        return share_text(value, metric, 1).rstrip("%")

    head = (
        f"at most ({unit})",
        "network",
        f"latency ({unit})",
        heading_of(front.accuracy_kind),
        "without luck",
        "MACs",
        "parameters",
    )
    rows = [
        (
            number(one.latency_budget), one.digest[:8], number(one.latency),
            f"{shown(one.top1)} \u00b1 {shown(one.standard_error)}", shown(one.top1 - one.luck),
            f"{one.macs:,}", f"{one.params:,}",
        )
        for one in front.points
    ]  # fmt: skip
    return section("The front", text, table(head, rows))


def _data(run: RunFiles, stages: Stages, models: Mapping[str, Roofline], extra: Beside) -> dict[str, Any]:
    """Return the JSON data of the page: that of `page_data`, and the curves and evaluated networks of the run."""
    entries = [*run.entries, *extra.entries]
    data = page_data(entries, models, first=0 if entries else None)
    data["shown"] = data["shown"][:1]  # the target of the search; the others can be chosen
    data["stages"] = [stage_curves(name, start, progress) for name, (start, progress) in stages.items()]
    data["curves"], data["score_axis"] = list(run.training_curves), axis_of(run.metric)
    data["files"] = dict(run.tables)
    data["pair"] = [len(entries) - 2 if extra.trained else 0, len(entries) - 1]  # found, and baseline or another
    if extra.trained and run.verdict:
        data["compared"] = compared_data(run.verdict, *data["pair"])
    data["baseline"] = len(run.entries) if extra.baseline else None
    if run.best is not None:
        own = [] if run.front else [run.best.latency_budget]  # those of a front are in a table
        data["budgets"] = [own, *([] for _ in data["targets"][1:])]
    if (result := run.best or run.coarse) and result.accuracy.kind.metric == TOP1:  # whose errors are those of a share
        data["trial_images"] = (result.supernet_accuracy or result.accuracy).images
    if run.evaluated is not None:
        columns = run.evaluated.reindex(columns=["latency", "top1", "standard_error"]).fillna(0.0)
        data["evaluated"] = [[rounded(row) for row in columns.to_numpy(float).tolist()]]
        kinds = {entry.kind for entry in run.entries if entry.kind}
        data["evaluated_kind"] = len(kinds) - 1  # the accuracies under shared weights, the last kind of a run's entries
    return data


def _models(result: Result, experiment: Record) -> dict[str, Roofline]:
    """Return the latency model of the search, then those of the other targets, as far as they can still be made."""
    found = {result.target: model_of_run(result.target, result, experiment)}
    for name in sorted(result.other_latencies_ms):
        found.setdefault(name, model_of_run(name, result, {}))
    return {name: model for name, model in found.items() if model is not None}


def _unfinished(run: RunFiles) -> list[str]:
    """Return the markup about how far an unfinished run has come, and what its coarse stage has found."""
    command = shlex.join(("nas", "resume", run.name, *code_flags(run.experiment)))
    start = f"This run has not finished, so it has no result yet; go on with: {command}"
    found = [paragraph(start, "found")]
    for name, (_, progress) in run.stages.items():
        if progress:
            step, steps = progress[-1]["step"], progress[-1]["steps"]
            text = f"The {name} stage stands at step {step:,} of {steps:,}."
            found += [paragraph(text), share_gauge(step / steps if steps else 0.0)]
    if run.coarse is not None:
        found.append(paragraph("The coarse stage has found filters and depths, with the same block everywhere:"))
        found.append(result_tiles(run.coarse))
        about = "".join(map(paragraph, [*result_sentences(run.coarse), *remarks(run.coarse)]))
        found.append(fold("What these numbers are, and are not", about))
    return found


def _measured(result: Result) -> str:
    """Return what was measured of the network, as the end of a sentence."""
    if result.measured_latency_ms is None:
        return "not measured"
    return f"and measured as {number(result.measured_latency_ms)} ms with {result.measured_on}"


def result_sentences(result: Result) -> list[str]:
    """Return the result as sentences, with everything that a reader must know before using its numbers."""
    kind, accuracy, shape = result.accuracy.kind, result.accuracy, result.arch.input_shape
    deviation = result.latency / result.latency_budget - 1
    named = "Top-1 accuracy" if kind.metric == TOP1 else kind.title
    outputs = "classes" if kind.metric == TOP1 else "outputs"
    value, error = (share_text(one, kind.metric, 1) for one in (accuracy.value, accuracy.standard_error))
    sentences = [
        f"Found for {result.target}: a network of {result.macs:,} multiply-accumulates and {result.params:,} "
        f"parameters ({kibibytes(result.weight_bytes)} of weights, at most {kibibytes(result.peak_activation_bytes)} "
        f"of activations at once) for images of {_shape(shape)} and {result.arch.num_classes:,} {outputs}.",
        f"Its predicted latency is {number(result.latency)} {result.latency_unit}, {deviation:+.2%} against the "
        f"latency budget of {number(result.latency_budget)} {result.latency_unit}. It is predicted by the latency "
        f"model '{result.latency_model}', {_measured(result)}. {_trust(result)}",
        f"{named}: {value} ± {error} (one standard error) on "
        f"{accuracy.images:,} images of {kind.data}; obtained with: {display_text(kind.how)}.",
    ]
    if (shared := result.supernet_accuracy) not in (None, accuracy):
        own = [share_text(value, shared.kind.metric, 1) for value in (shared.value, shared.standard_error)]
        sentences.append(f"With the supernet's shared weights it has {own[0]} ± {own[1]}.")
    if kind.width != 1 or kind.resolution != shape.size.json:
        sentences.append(
            f"This accuracy is the proxy's: the same blocks at {Size.of(kind.resolution).text} and "
            f"{kind.width:g} times the width. Costs and latency are those of the target network. The accuracy ranks "
            "networks within this run; "
            "what the target network reaches is known only after training it."
        )
    if result.converged and result.policy_entropy > 0:  # else no policy chose
        sentences.append(f"The controller's policy ended with an entropy of {_entropy(result)}.")
    return sentences


def _trust(result: Result) -> str:
    """Return the sentence on how far the predicted latency can be trusted."""
    known = error_of_result(result)
    if known is None or known.percent is None:
        return f"How far off it is, is not known{f': {known.basis}' if known else ''}."
    return f"Of networks that the model has not seen, 90 % lie within {error_text(known)} ({known.basis})."


def remarks(result: Result) -> list[str]:
    """Return what a reader must know before the numbers of `result` are used."""
    settled = (
        "Not converged: the controller's policy still has an entropy of "
        f"{_entropy(result)}; a longer run may find better."
    )
    by_chance = any(note.startswith("at chance level") for note in result.notes)  # which a settled policy can be
    return ([] if result.converged or by_chance else [settled]) + [f"Note: {note}" for note in result.notes]


def _entropy(result: Result) -> str:
    return f"{result.policy_entropy:.0%} of that of a uniform policy"


def _model_section(evidence: ModelEvidence, metric: str) -> list[str]:
    """Return the section on what the accuracy model showed, how every batch was chosen, and what a supernet earned."""
    sentences = [evidence.text, evidence.supernet_text]
    said = "".join(paragraph(f"{text[0].upper()}{text[1:]}.") for text in sentences if text)
    head = ("trainings", "networks", "by the model", "leave-one-out tau before")
    rows = [
        (PURPOSES.get(batch.purpose, batch.purpose), str(batch.networks), str(batch.by_model),
         batch.tau.text if batch.tau else "")
        for batch in evidence.batches
    ]  # fmt: skip
    noise = (
        f"One training differs from its network's mean by about {points_text(evidence.noise, metric, 1)} (one standard "
        "deviation). A tau says how well networks of equal latency are ranked: 1 perfectly, 0 as by chance."
    )
    return section("Accuracy model", noise, said + fold("Every batch of trainings", table(head, rows)))


PURPOSES = {
    "start": "spread over the space", "model": "chosen by the model", "chance": "at random",
    "rung": "the better ones, longer", "repeat": "the last few again, other seeds",
}  # fmt: skip


def _finalists_section(rungs: pd.DataFrame, metric: str) -> list[str]:
    what = "Top-1 in %" if metric == TOP1 else title_by_name(metric)
    text = f"{what} of their proxies on the validation images: in the supernet, then trained alone for some epochs."
    lengths = rungs["top1"].columns
    head = ["stage", "network", "supernet", *(f"{epochs} epochs" for epochs in lengths)]
    pairs = rungs.to_numpy().reshape(len(rungs), 2, -1).transpose(0, 2, 1)  # [finalists, lengths, score and error]
    rows = [
        [stage, digest[:8], _score(supernet, metric), *(_score(score, metric, error, images) for score, error in both)]
        for (stage, digest, supernet, images), both in zip(rungs.index, pairs, strict=True)
    ]
    return section("Finalists", text, table(head, rows))


def _score(value: float, metric: str, error: float = math.nan, images: int = 0) -> str:
    """Return a score, a share in percent, with its standard error where that or the images are known; "" for NaN."""
    if value != value:
        return ""
    if metric == TOP1 and images:
        error = standard_error(value, images)
    return " \u00b1 ".join(share_text(one, metric, 1).rstrip("%") for one in (value, error) if one == one)


def _latencies_section(result: Result, baseline: Entry | None) -> list[str]:
    rows = sorted(result.other_latencies_ms.items(), key=lambda row: row[1])
    here = (
        f"{result.target} (searched for)",
        f"{number(result.latency)} {result.latency_unit} {error_text(error_of_result(result))}".strip(),
    )
    others = [(name, known.of(ms) if (known := error_of_target(name)) else f"{number(ms)} ms") for name, ms in rows]
    listed = table(("target", "predicted latency"), [here, *others])
    tick = f" The tick is {baseline.name}." if baseline else ""
    text = f"The network found on every device, for one image where nothing else is said.{tick}"
    body = figure_place("devices", "predicted latency on every target") + fold("As a table", listed)
    return section("Predicted latency on every target", text, body)


# --------------------------------------------------------------------------------------------------------- settings


def _settings(experiment: Record, defaults: Mapping[str, Any]) -> list[str]:
    """Return the settings that differ from the `defaults` as a table, and all of them folded."""
    everything = _flat(experiment)
    plain = {key: json.dumps(value) for key, value in defaults.items()}
    chosen = [(key.removeprefix("settings."), value) for key, value in everything if key.startswith("settings.")]
    changed = [(key, value) for key, value in chosen if value not in (plain.get(key), "null", "[]")]
    text = f"{len(changed)} of {len(chosen)} settings differ from the defaults." if chosen else ""
    rows = [table(("setting", "value"), changed, numbers=False)] if changed else []
    folded = fold("All settings, versions and the plan", table(("setting", "value"), everything, numbers=False))
    return ["<h2>Settings</h2>", paragraph(text, "soft") if text else "", *rows, folded]


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as (dotted name, value)."""
    rows: list[tuple[str, str]] = []
    for key, part in value.items():
        rows += _flat(part, f"{prefix}{key}.") if isinstance(part, dict) else [(f"{prefix}{key}", json.dumps(part))]
    return rows


def _shape(shape: Shape) -> str:
    return "x".join(str(size) for size in shape)
