"""What a search found: the summary of one target, the table of several, and the regrets of one network for all."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from rich.console import Console
from rich.text import Text

from nas.arch import ArchSpec
from nas.cli.console import aligned_table, latency_text
from nas.cli.deployed_dtype import int8_flags
from nas.cli.models import images_in_latency, targets_of
from nas.cli.tables.front import cost_front_table, front_table, point_name
from nas.ops import Size
from nas.records.experiment import read_experiment
from nas.records.front import Front, load_front
from nas.records.model_evidence import load_evidence
from nas.records.named_code import OF_SOURCES, command_on
from nas.records.networks import UNIVERSAL
from nas.records.picks import load_picks
from nas.records.results import TOP1, Result, Score, metric_of, points_text, share_text
from nas.records.verdict import load_verdict
from nas.registry import addresses
from nas.report.energy import energy_of_target, energy_rows
from nas.report.known_error import NINETY, error_of_result, error_text, gap_text
from nas.report.terminal_table import Column, FittedTable, short_number, unit_text
from nas.runs.multi_target import MultiTargetResult

MEASURED_TABLES = "measured-*.csv"  # in a run folder
FILES = (
    ("best.json", "the architecture with all its numbers"),
    ("coarse.json", "what the coarse stage found"),
    ("front.csv", "the front of accuracy against latency, specs beside it"),
    ("evaluated.csv", "every architecture evaluated at the end"),
    ("finalists.csv", "the networks trained alone, after each number of epochs"),
    ("accuracy_model.json", "what the accuracy model showed, and how it chose"),
    ("front.json", "the latency budgets of the front, and the network for each"),
    ("picks.json", "what is as good within the noise"),
    ("verdict.json", "the comparison with the baseline"),
    ("report.html", "plots of all this"),
    ("supernet.safetensors", "the supernet's weights, for nas search --from"),
    ("experiment.json", "settings, seed and versions"),
    ("journal.jsonl", "the history of the search"),
)


def print_summary(result: Result, run: Path, out: Console, chosen_by: str | None = None) -> None:
    """Print what a search found, and the commands that go on from there, each in a line that can be copied."""
    front = load_front(run)
    if front:
        out.print(front_table(front, result.target))
    if minimize := _front_of(run):
        out.print(cost_front_table(run, minimize, result.arch.digest, result.target))
    out.print(summary(result, run, chosen_by))
    for line in (f"wrote {run}", *(f"next: {command}" for command in next_commands(run, result.arch, front))):
        out.print(Text(line), soft_wrap=True)
    if any(run.glob(MEASURED_TABLES)):
        resolve_name("nas.cli.measuring:show_all_measured")(run)  # imports what reads a run's networks


def _front_of(run: Path) -> tuple[str, ...]:
    """Return the costs of the front of accuracy and costs that a run searched for; none where it searched for none."""
    stored = read_experiment(run) if (run / "experiment.json").exists() else {}
    request = stored.get("request")
    if not isinstance(request, dict) or not request.get("cost_front"):
        return ()
    return tuple(request["settings"][0]["minimize"])


def summary(result: Result, run: Path, chosen_by: str | None = None) -> FittedTable:
    """Return what a search found as a table of two columns; `chosen_by` says what chose it where no policy did."""
    accuracy, shared, known = result.accuracy, result.supernet_accuracy, error_of_result(result)
    entropy = f"policy entropy {result.policy_entropy:.0%} of uniform"
    converged = "converged" if result.converged else "not converged"
    columns = (Column("what"), Column("value", fold=True))
    table = FittedTable(f"found in {result.space} for {result.target}", columns, heading=False)
    unit = unit_text(result.latency_unit, images_in_latency(result.target))
    energy = energy_of_target(result.target)
    model = "" if result.latency_model == "default" else f"({result.latency_model})"
    rows = [
        ("predicted latency", " ".join(filter(None, [latency_text(result.latency, unit), error_text(known), model]))),
        *([("predicted for", known.setup)] if known and known.setup else []),
        *([("error from", known.basis)] if known and known.percent is not None else []),
        ("latency budget", f"{latency_text(result.latency_budget, unit)}, {gap_text(result)}"),
        ("MACs, parameters", f"{result.macs:,}, {result.params:,}"),
        (
            "memory",
            f"{result.weight_bytes:,} bytes of weights, {result.peak_activation_bytes:,} of activations at once",
        ),
        *(energy_rows(result.arch, energy) if energy else []),
        (f"proxy {accuracy.kind.title}", accuracy_text(accuracy)),
        ("accuracy of", accuracy.kind.label() + ("" if _is_target(result) else "; not of the target network")),
        *([("in the supernet", accuracy_text(shared))] if shared not in (None, accuracy) else []),
        ("search", f"{_by_model(run) or chosen_by or f'{converged}, {entropy}'}, seed {result.seed}"),
        *_verdict_rows(run),
        *_pick_rows(run),
        *(("note", note) for note in result.notes),
        *((name, words) for name, words in _files(run) if (run / name).exists()),
    ]
    for name, value in rows:
        table.add_row(Text(name, style="bold"), Text(value))
    return table


def _is_target(result: Result) -> bool:
    """Return whether the proxy of a result is the target network itself: of its width and its input."""
    return result.proxy_width == 1 and result.arch.input_shape.size == Size.of(result.proxy_resolution)


def _files(run: Path) -> Iterator[tuple[str, str]]:
    """Yield the files of a run with what is in each; front.csv by what its front is of."""
    costs = _front_of(run)
    for name, words in FILES:
        yield name, f"the front of accuracy against {' and '.join(costs)}" if costs and name == "front.csv" else words


def _by_model(run: Path) -> str:
    """Return how a search with an accuracy model chose, "" for any other."""
    evidence = load_evidence(run)
    return f"the best by estimate of {len(evidence.networks)} networks trained alone" if evidence else ""


def _verdict_rows(run: Path) -> Iterator[tuple[str, str]]:
    """Yield the verdict against the baseline, and what it rests on."""
    if verdict := load_verdict(run):
        yield "verdict", verdict.text
        yield "rests on", verdict.basis


def _pick_rows(run: Path) -> Iterator[tuple[str, str]]:
    """Yield the networks that are as good as the one found within the noise, with the file of each."""
    found = load_picks(run)
    if found is None or len(found.picks) < 2:
        return
    own, *others = found.picks
    metric = metric_of(found.accuracy_kind)
    yield "as good", f"{found.as_good:,} of {found.candidates - 1:,} others, within one standard error of it; of these:"
    for one in (own, *others):
        error = points_text(one.difference_error, metric, 1)
        lead = "" if one is own else f", less by {points_text(one.difference, metric, 1).split()[0]} ± {error}"
        costs = f"{latency_text(one.latency, found.latency_unit)}, {short_number(one.params)} parameters"
        yield "pick", f"{one.name}: {share_text(one.top1, metric, 1)}{lead}; {costs}; {one.spec}"


def accuracy_text(accuracy: Score) -> str:
    """Return a score with its standard error."""
    return f"{accuracy.text} +- {accuracy.error_text} (standard error, {accuracy.examples:,} images)"


def next_commands(run: Path, arch: ArchSpec, front: Front | None = None) -> tuple[str, ...]:
    """Return the commands that go on from a search that found `arch`; of a `front` also one for its slowest network."""
    start = ("--from-supernet",) if (run / "inherited.safetensors").exists() else ()
    trained = ("train", str(run), "--proxy", *start, "--out", f"{run}-trained")
    commands = [
        _deployment(run, arch),
        _comparison([run]),
        command_on(run, *trained, settings=OF_SOURCES if start else ["data"]),
    ]
    if front:
        commands.append(command_on(run, "describe", point_name(run, front), settings=["target", "latency_model"]))
    return tuple(commands)


def _deployment(run: Path, arch: ArchSpec) -> str:
    """Return the command that deploys what a run found, in the numbers that its latency was predicted in."""
    return command_on(run, "deploy", str(run), *int8_flags(arch, str(run)), settings=["data"])


def _comparison(runs: Sequence[Path]) -> str:
    """Return the command that compares what runs found, on their devices."""
    targets = targets_of(map(str, runs))
    named = ("--targets", ",".join(targets)) if addresses(targets) else ()  # code is named, and then all of them
    return shlex.join(("nas", "compare", *map(str, runs), *named))


def print_multi_target(found: MultiTargetResult, run: Path, out: Console) -> None:
    """Print the summary of one target, or a table of several and the accuracy gap of one network for all."""
    if len(found.results) == 1:
        result = next(iter(found.results.values()))
        print_summary(result, run, out, chosen_by=None if result.policy_entropy else "the best that was evaluated")
        return
    for name, result in found.results.items():
        if front := load_front(found.folders[name]):
            out.print(front_table(front, result.target))
    out.print(results_table(found.results))
    folders, archs = list(found.folders.values()), [result.arch for result in found.results.values()]
    if found.universal is not None:
        out.print(regrets_table(found.regrets, found.results))
    lines = [f"wrote {folder}: best.json, front.csv, evaluated.csv, report.html" for folder in folders]
    if found.universal is not None:
        folders.append(run / UNIVERSAL)
        archs.append(found.universal.arch)
        lines += [f"wrote {folders[-1]}: best.json, report.html", f"wrote {run / 'universal.json'}: the regrets"]
    lines += [f"next: {_deployment(folder, arch)}" for folder, arch in zip(folders, archs, strict=True)]
    lines.append(f"next: {_comparison(folders)}")
    for line in lines:
        out.print(Text(line), soft_wrap=True)


def results_table(results: Mapping[str, Result]) -> FittedTable:
    """Return the network found for each target, a row each."""
    drop = {"parameters": 3, "MACs": 2, "latency budget": 1}
    metric = next(iter(results.values())).accuracy.kind
    title = "top-1 %" if metric.metric == TOP1 else metric.title
    numbers = ("latency", "latency budget", f"proxy {title}", "MACs", "parameters")
    table = aligned_table("found", ("target",), numbers, drop)
    for name, result in results.items():
        top1 = f"{result.accuracy.text.rstrip('%')} +- {result.accuracy.error_text.split()[0]}"
        unit = unit_text(result.latency_unit, images_in_latency(result.target))
        predicted = f"{latency_text(result.latency, unit)} {error_text(error_of_result(result))}".strip()
        latencies = predicted, latency_text(result.latency_budget, unit)
        table.add_row(name, *latencies, top1, short_number(result.macs), short_number(result.params))
    table.caption = NINETY
    return table


def regrets_table(data: Mapping[str, Any], results: Mapping[str, Result]) -> FittedTable:
    """Return the table of regrets per target, differences of scores: specialists, then the network for all."""
    kind = next(iter(results.values())).accuracy.kind

    def shown(value: float) -> str:
        return f"{100 * value:.2f}" if kind.metric == TOP1 else f"{value:.3f}"

    def cell(row: Mapping[str, Any], target: str) -> str:
        latency = latency_text(row["latency"][target], results[target].latency_unit)
        if not row["keeps_bounds"][target]:
            return f"over,\n{latency}"
        return f"{shown(row['regret'][target])}{'*' if row['on_front'][target] else ''}\nat {latency}"

    targets = data["targets"]
    title, score = ("points of top-1", "top-1 %") if kind.metric == TOP1 else (kind.title, kind.title)
    table = aligned_table(f"regret in {title}", ("network",), (score, *targets, "worst"))
    for row in data["networks"]:
        worst = row["worst_regret"]
        cells = [cell(row, target) for target in targets]
        table.add_row(row["name"], shown(row["top1"]), *cells, "-" if worst is None else shown(worst))
    table.caption = f"regret: {data['regret']}; over: takes more than is allowed there; *: on the front at its latency"
    return table
