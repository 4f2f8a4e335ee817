"""`report.html` of a run folder, finished or not, made from its files alone: one page without any outside part."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latency_models.roofline import Roofline
from latency_models.target import abstract_target, load_target
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.files import read_json, write_whole
from nas.ops import Shape
from nas.results import Result, load_result

if TYPE_CHECKING:
    import pandas as pd

Record = Mapping[str, Any]
Stages = dict[str, tuple[Record, list[Record]]]  # name -> its first record, its chunks

CSS = """
:root{--ink:#1c1c1c;--soft:#5d5d5d;--line:#e2e2e2;--blue:#0072b2;--orange:#d55e00}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);max-width:46rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:2.2rem 0 .5rem;border-top:1px solid var(--line);padding-top:1rem}
p,li{margin:.4rem 0;overflow-wrap:anywhere}
.soft{color:var(--soft);font-size:.875rem}
.wide{overflow-x:auto}
svg{width:100%;height:auto;min-width:30rem;display:block}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
td,th{padding:.15rem .8rem .15rem 0;text-align:left;border-bottom:1px solid var(--line);overflow-wrap:break-word}
td:last-child{overflow-wrap:anywhere}
.number{text-align:right}
.op{display:grid;grid-template-columns:minmax(0,3fr) minmax(0,1fr) minmax(0,1fr);gap:.5rem;align-items:center;
margin:2px 0;font-size:.78rem;line-height:1.25}
.block{border-left:5px solid;background:#f5f5f5;padding:.2rem .4rem;overflow-wrap:anywhere}
.bar{white-space:nowrap}.bar i{display:inline-block;height:.7rem;vertical-align:middle;margin-right:.3rem}
.stage{font-size:.78rem;color:var(--soft);margin-top:.5rem}
"""
COLOURS = {"conv": "#56b4e9", "fused_ib": "#e69f00", "uib": "#009e73", "mobile_mqa": "#cc79a7", "head": "#8a8a8a"}
OTHER_COLOUR = "#0072b2"


@dataclass(frozen=True)
class RunFiles:
    """What stands in a run folder; None or empty where the run has not come that far."""

    name: str
    experiment: Record
    stages: Stages
    coarse: Result | None
    best: Result | None
    evaluated: "pd.DataFrame | None"


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
    )


def read_journal(path: Path) -> Stages:
    """Return the records of a journal by stage; a torn last line is left out, the last record of a step counts."""
    stages: dict[str, tuple[Record, dict[int, Record]]] = {}
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            name = record["stage"]
            if "decisions" in record:
                stages[name] = (record, {})
            elif "step" in record and "policy" in record:
                stages.setdefault(name, ({}, {}))[1][int(record["step"])] = record
        except (ValueError, KeyError, TypeError) as error:
            if number < len(lines):
                raise InvalidInput(f"{path}, line {number}, is no record of a search ({error})") from error
    return {name: (start, [chunks[step] for step in sorted(chunks)]) for name, (start, chunks) in stages.items()}


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


def page(run: RunFiles) -> str:
    """Return the whole page."""
    from nas import report_pictures as draw

    parts = [f"<h1>Search {escape(run.name)}</h1>", *_summary(run)]
    stages = {name: content for name, content in run.stages.items() if content[1]}
    if stages:
        parts += _section(
            "Progress",
            "Dashed: the latency that the stage aims at. The best guess takes the likeliest option of every decision.",
            _picture(draw.progress(stages), "loss, accuracy, latency and entropy over the steps"),
        )
    for name, (start, chunks) in stages.items():
        if start.get("decisions"):
            parts += _section(
                f"What the controller preferred: {name} stage",
                "Probability of every option over the steps, the first option darkest, at the bottom. "
                "Above each panel the likeliest option at the end (for blocks: start + middle depthwise kernel).",
                _picture(draw.choices(name, start["decisions"], chunks), f"probabilities in the {name} stage"),
            )
    if run.evaluated is not None and run.best is not None:
        parts += _section(
            "Accuracy against latency",
            "All networks evaluated with the final weights of the supernet on the same held-out pictures.",
            _picture(draw.front(run.evaluated, run.best), "accuracy against latency of all evaluated networks"),
        )
    shown = run.best or run.coarse
    if shown is not None:
        parts += _architecture(shown, run)
        parts += _latencies(shown)
    parts += ["<h2>Settings</h2>", _table(("setting", "value"), _flat(run.experiment), numbers=False)]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    title = f"<title>Search {escape(run.name)}</title>"
    return f'<!doctype html>\n<html lang="en"><head>{head}{title}<style>{CSS}</style></head>\n<body>' + "\n".join(
        [*parts, "</body></html>\n"]
    )


# ------------------------------------------------------------------------------------------------------------ in words


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
    deviation = result.latency / result.wanted_latency - 1
    said = [
        f"Found for {result.target}: a network of {result.macs:,} multiply-accumulates and {result.params:,} "
        f"parameters ({_kb(result.weight_bytes)} of weights, at most {_kb(result.peak_activation_bytes)} of "
        f"activations at once) for pictures of {_shape(shape)} and {result.arch.num_classes:,} classes.",
        f"Its predicted latency is {_number(result.latency)} {result.latency_unit}, {deviation:+.2%} against the "
        f"wanted {_number(result.wanted_latency)} {result.latency_unit}. It is predicted by the latency model "
        f"'{result.latency_model}', not measured.",
        f"Top-1 accuracy: {accuracy.top1:.1%} ± {accuracy.standard_error:.1%} (one standard error) on "
        f"{accuracy.pictures:,} pictures of {kind.data}; obtained with: {kind.how}.",
    ]
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


# -------------------------------------------------------------------------------------------------------- architecture


@dataclass(frozen=True)
class _Row:
    stage: str
    tag: str
    words: str
    macs: int
    latency: float


def _architecture(result: Result, run: RunFiles) -> list[str]:
    """Return the network block by block, with each one's shares of MACs and latency."""
    model = _model(result, run.experiment)
    rows = _rows(result.arch, model)
    macs, latency = sum(row.macs for row in rows), sum(row.latency for row in rows) + (model.constant if model else 0)
    most = max([row.macs / macs for row in rows] + [row.latency / latency for row in rows if latency])
    parts = [
        "<h2>The network, block by block</h2>",
        _p("Shares of multiply-accumulates (blue) and of predicted latency (orange). k: kernel, s: stride.", "soft"),
    ]
    if model is not None and model.constant:
        share = f"{model.constant / latency:.0%}"
        parts.append(_p(f"The launch floor of {result.target}, {share} of the latency, belongs to no block.", "soft"))
    stage = ""
    for row in rows:
        if row.stage != stage:
            parts.append(f'<div class="stage">{escape(row.stage)}</div>')
            stage = row.stage
        colour = COLOURS.get(row.tag, OTHER_COLOUR)
        bars = _bar(row.macs / macs, most, "var(--blue)", "MACs")
        bars += _bar(row.latency / latency, most, "var(--orange)", "latency") if latency else ""
        block = f'<div class="block" style="border-color:{colour}">{escape(row.words)}</div>'
        parts.append(f'<div class="op">{block}{bars}</div>')
    return parts


def _rows(arch: ArchSpec, model: Roofline | None) -> list[_Row]:
    def row(stage: str, tag: str, words: str, prefix: str) -> _Row:
        kernels = [kernel for kernel in arch.kernels if kernel.name.startswith(f"{prefix}.")]
        latency = sum(model.of_kernel(kernel) for kernel in kernels) if model else 0.0
        return _Row(stage, tag, words, sum(kernel.macs for kernel in kernels), latency)

    rows = []
    for position, op, shape in arch.walk():
        out = op.out_shape(shape)
        words = f"{_words(op, shape)} → {_shape(out)}"
        rows.append(row(f"stage {position.partition('.')[0]}", op.tag, words, position))
    hidden = f", hidden layer of {arch.head.hidden:,}" if arch.head.hidden else ""
    return [*rows, row("head", "head", f"average pool{hidden}, {arch.num_classes:,} classes", "head")]


def _words(op: Any, shape: Shape) -> str:
    """Return an op in few words: name, kernels, widths, stride."""
    name = f"UIB {op.variant}" if op.tag == "uib" else op.tag.replace("_", " ")
    if op.tag == "mobile_mqa":
        return f"{name}, {op.heads} heads, key {op.key_dim}, value {op.value_dim}, kv stride {op.kv_stride}"
    kernels = [getattr(op, field, 0) for field in ("start_dw", "middle_dw", "kernel")]
    sizes = "+".join(f"k{kernel}" for kernel in kernels if kernel)
    expanded = getattr(op, "expanded_channels", 0)
    widths = "-".join(str(n) for n in (shape.channels, expanded, op.out_channels) if n)
    extras = [f"s{op.stride}"] if op.stride > 1 else []
    extras += ["squeeze-excite"] if getattr(op, "se_channels", 0) else []
    extras += ["skip"] if getattr(op, "residual", False) else []
    return ", ".join(part for part in (f"{name} {sizes}".strip(), widths, *extras) if part)


def _model(result: Result, experiment: Record) -> Roofline | None:
    """Return the latency model of the search, also for an abstract device; None where it cannot be made again."""
    settings = {**experiment, **experiment.get("settings", {})}
    try:
        if settings.get("ridge_point") is not None:
            return abstract_target(settings["ridge_point"], settings.get("peak_gmacs_per_s"), result.arch)
        return load_target(result.target).model(result.latency_model)
    except (InvalidInput, LookupError, TypeError):
        return None


def _latencies(result: Result) -> list[str]:
    rows = sorted(result.other_latencies_ms.items(), key=lambda row: row[1])
    here = (f"{result.target} (searched for)", f"{_number(result.latency)} {result.latency_unit}")
    table = _table(("target", "predicted latency"), [here, *((name, f"{_number(ms)} ms") for name, ms in rows)])
    words = "For one picture; nas targets --json says where each figure comes from."
    return _section("Predicted latency on every target", words, table)


# --------------------------------------------------------------------------------------------------------------- HTML


def _p(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def _section(title: str, words: str, body: str) -> list[str]:
    return [f"<h2>{escape(title)}</h2>", _p(words, "soft"), body]


def _picture(svg: str, words: str) -> str:
    return f'<div class="wide" role="img" aria-label="{escape(words)}">{svg}</div>'


def _table(header: Sequence[str], rows: Iterable[Sequence[object]], numbers: bool = True) -> str:
    kind = ' class="number"' if numbers else ""
    lines = [f"<tr><th>{escape(header[0])}</th><th{kind}>{escape(header[1])}</th></tr>"]
    lines += [f"<tr><td>{escape(str(name))}</td><td{kind}>{escape(str(value))}</td></tr>" for name, value in rows]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _bar(share: float, most: float, colour: str, what: str) -> str:
    width = share / most if most else 0
    bar = f'<i style="width:calc((100% - 3.2rem)*{width:.3f});background:{colour}"></i>{share:.1%}'
    return f'<div class="bar" title="{what}">{bar}</div>'


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
