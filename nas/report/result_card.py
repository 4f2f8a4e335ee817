"""The card at the top of a report: the verdict against the baseline, latency against budget, accuracy, size, picks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from nas.arch import ArchSpec
from nas.records.picks import Pick, Picks
from nas.records.results import (
    TOP1,
    PredictionError,
    Result,
    Score,
    display_text,
    heading_of,
    metric_of,
    points_text,
    share_text,
)
from nas.records.verdict import Verdict
from nas.report.known_error import error_of_result, error_text
from nas.report.markup import number, short_count

Outcome = Literal["better", "worse", "unclear", "none"]
SIGNS: dict[Outcome, str] = {"better": "\u25b2", "worse": "\u25bc", "unclear": "\u2248", "none": "?"}
PARAMETERS = "parameters"
_NUMBER = ' class="number"'
NO_BASELINE = "No baseline was trained beside the network in this run."
NOT_COMPARED = "Not compared with a baseline"


@dataclass(frozen=True)
class BaselineFigures:
    """The baseline beside the network found: its costs on the run's target, its accuracy where it was trained."""

    name: str
    latency: float
    macs: int
    params: int
    accuracy: Score | None = None


def result_card(
    result: Result,
    verdict: Verdict | None,
    baseline: BaselineFigures | None,
    picks: Picks | None = None,
    remarks: Sequence[str] = (),
    numbers: Mapping[str, int] | None = None,
    tolerance: float = 0.0,
) -> str:
    """Return the card as HTML; `remarks` are what a reader must know before the numbers are used.

    `numbers` are those of the page's networks by digest; the picks among them can be clicked. `tolerance` is the share
    of the latency budget by which it may be exceeded.
    """
    noted = "".join(f"<li>{escape(remark)}</li>" for remark in remarks)
    return "".join(
        [
            '<section class="card" aria-label="the result in short">',
            verdict_line(verdict),
            result_tiles(result, baseline, tolerance),
            _picks_table(picks, numbers or {}) if picks else "",
            f'<ul class="caution">{noted}</ul>' if noted else "",
            "</section>",
        ]
    )


def result_tiles(result: Result, baseline: BaselineFigures | None = None, tolerance: float = 0.0) -> str:
    """Return the tiles of a result as HTML: latency, accuracy, size, and the baseline where one is given."""
    known = error_of_result(result)
    tiles = [
        _latency_tile(result.target, result.latency, result.latency_budget, result.latency_unit, known, tolerance),
        _accuracy_tile(result.accuracy, result.arch.num_classes),
        _size_tile(result),
    ]
    tiles += [_baseline_tile(baseline, result.latency_unit)] if baseline else []
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def share_gauge(share: float) -> str:
    """Return a bar that is full to the fraction `share`."""
    return _gauge(f'<rect class="fill" x="0" y="4" width="{100 * min(1.0, share):.2f}" height="6"/>', "progress")


def verdict_line(verdict: Verdict | None) -> str:
    """Return the verdict as HTML, "not compared with a baseline" where there is none."""
    text, remark = (verdict.text, verdict.basis) if verdict else (NOT_COMPARED, NO_BASELINE)
    outcome = outcome_of(verdict)
    badge = f'<span class="badge" aria-hidden="true">{SIGNS[outcome]}</span>'
    words = f"<strong>{escape(_sentence(text))}</strong><small>{escape(_sentence(remark))}</small>"
    return f'<p class="verdict {outcome}">{badge}<span>{words}</span></p>'


def _sentence(text: str) -> str:
    """Return a text with a capital letter at its beginning."""
    return text[:1].upper() + text[1:]


def outcome_of(verdict: Verdict | None) -> Outcome:
    """Return what a verdict comes to: "unclear" where the difference is not clear of the noise, "none" without one."""
    if verdict is None:
        return "none"
    if not verdict.is_resolved or verdict.found.digest == verdict.baseline.digest:
        return "unclear"
    return "better" if verdict.difference > 0 else "worse"


def network_card(
    name: str,
    target: str,
    arch: ArchSpec,
    accuracy: Score,
    latency: float | None,
    unit: str,
    budget: float | None,
    verdict: Verdict | None,
    error: PredictionError | None = None,
) -> str:
    """Return the card of one network among several as HTML; its latency on `target` is left out where it is None."""
    tiles = [_latency_tile(target, latency, budget, unit, error)] if latency is not None else []
    note = f"{short_count(arch.macs)} MACs"
    tiles += [_accuracy_tile(accuracy, arch.num_classes), _tile("Size", short_count(arch.params), PARAMETERS, "", note)]
    head = f"<h2>{escape(name)}</h2>"
    body = f'{head}{verdict_line(verdict)}<dl class="tiles">{"".join(tiles)}</dl>'
    return f'<section class="card" aria-label="{escape(name)}">{body}</section>'


def _tile(name: str, figure: str, unit: str, gauge: str, note: str) -> str:
    """Return a tile: its name, its `figure` in large print with a unit, the markup `gauge`, and a note."""
    drawn = f"<dd>{gauge}</dd>" if gauge else ""
    big = f'<dd class="figure">{escape(figure)} <small>{escape(unit)}</small></dd>'
    return f"<div><dt>{escape(name)}</dt>{big}{drawn}<dd>{escape(note)}</dd></div>"


def _latency_tile(
    target: str,
    latency: float,
    budget: float | None,
    unit: str,
    error: PredictionError | None,
    tolerance: float = 0.0,
) -> str:
    """Return the tile of the predicted latency, as a bar with its error and a tick at the budget."""
    percent = error.percent if error and error.percent is not None else 0.0
    low, high = latency * max(0.0, 1 - percent / 100), latency * (1 + percent / 100)
    scale = 100 / max(1.15 * max(latency, budget or latency), high)
    over = budget is not None and latency > budget * (1 + tolerance)
    parts = f'<rect class="{"fill over" if over else "fill"}" x="0" y="4" width="{scale * latency:.2f}" height="6"/>'
    if percent:
        parts += f'<rect class="reach" x="{scale * low:.2f}" y="2" width="{scale * (high - low):.2f}" height="10"/>'
    notes = [_error_note(error)]
    if budget:
        parts += _tick(scale * budget)
        side = "over" if latency > budget else "under"
        notes = [f"{abs(latency / budget - 1):.2%} {side} the budget of {number(budget)} {unit}", *notes]
        if error and error.share_within is not None:
            notes.append(
                f"{100 * error.share_within:.0f} % of random networks of the space lie that near to the budget"
            )
    if error and error.setup:
        notes.append(error.setup)
    shown = f"{unit} {error_text(error)}" if percent else unit
    return _tile(f"Latency on {target}", number(latency), shown, _gauge(parts, "latency"), "; ".join(notes))


def _error_note(error: PredictionError | None) -> str:
    """Return how far a latency can be trusted as words of a note."""
    if error is None:
        return "predicted, its error is not known"
    if error.percent is None:
        return f"predicted: {error.basis}"
    return f"predicted to {error_text(error)} for 90 % of unseen networks ({error.basis})"


def _accuracy_tile(accuracy: Score, num_classes: int) -> str:
    """Return the tile of the accuracy, from 0 to 100 % with its standard error, and a tick at that of chance."""
    low, high = (100 * (accuracy.top1 + sign * accuracy.standard_error) for sign in (-1, 1))
    low, high = max(0.0, low), min(100.0, high)
    parts = f'<rect class="reach" x="{low:.2f}" y="2" width="{high - low:.2f}" height="10"/>'
    parts += f'<line class="value" x1="{100 * accuracy.top1:.2f}" x2="{100 * accuracy.top1:.2f}" y1="1" y2="13"/>'
    is_share = accuracy.kind.metric == TOP1
    parts += _tick(100 / num_classes) if is_share else ""
    network = "the network" if accuracy.kind.width == 1 else "its proxy"
    how = f"{network}, {display_text(accuracy.kind.how)}; {accuracy.images:,} images of {accuracy.kind.data}"
    chance = f"; tick: chance, {1 / num_classes:.3g}" if num_classes > 100 else f"; tick: chance, {1 / num_classes:.0%}"
    if not is_share:
        error = f"\u00b1 {accuracy.standard_error:.3f}"
        return _tile(accuracy.kind.title, f"{accuracy.value:.3f}", error, _gauge(parts, accuracy.kind.title), how)
    error = f"\u00b1 {100 * accuracy.standard_error:.1f} %"
    return _tile("Top-1 accuracy", f"{100 * accuracy.top1:.1f}", error, _gauge(parts, "top-1"), how + chance)


def _size_tile(result: Result) -> str:
    weights, activations = short_bytes(result.weight_bytes), short_bytes(result.peak_activation_bytes)
    note = f"{short_count(result.macs)} MACs; {weights} of weights, {activations} of activations"
    return _tile("Size", short_count(result.params), PARAMETERS, "", note)


def _baseline_tile(baseline: BaselineFigures, unit: str) -> str:
    known = baseline.accuracy
    reached = f"{known.kind.title} {_shown(known)}" if known else "not trained here"
    costs = f"{short_count(baseline.macs)} MACs, {short_count(baseline.params)} parameters"
    note = f"{reached}; {costs}; for the same input"
    return _tile(f"Baseline: {baseline.name}", number(baseline.latency), unit, "", note)


def _shown(score: Score) -> str:
    """Return a score with its error, a share in percent."""
    if score.kind.metric != TOP1:
        return f"{score.value:.3f} \u00b1 {score.standard_error:.3f}"
    return f"{100 * score.value:.1f} \u00b1 {100 * score.standard_error:.1f} %"


def _picks_table(picks: Picks, numbers: Mapping[str, int]) -> str:
    """Return the networks that are as good as the answer within the noise as a table; one alone needs none."""
    if len(picks.picks) < 2:
        return ""
    head = (
        "picked as",
        f"latency ({picks.latency_unit})",
        heading_of(picks.accuracy_kind),
        "below the answer",
        "MACs",
        "parameters",
    )
    names = "".join(f'<th scope="col"{_NUMBER if i else ""}>{escape(name)}</th>' for i, name in enumerate(head))
    metric = metric_of(picks.accuracy_kind)
    rows = "".join(_pick_row(pick, numbers.get(pick.digest), metric) for pick in picks.picks)
    title = (
        f"{picks.as_good:,} of {picks.candidates:,} candidates are as good within one standard error; a few of them:"
    )
    body = f"<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<h2>{escape(title)}</h2><div class="wide" tabindex="0">{body}</div>'


def _pick_row(pick: Pick, network: int | None, metric: str) -> str:
    """Return the row of a pick; its name is a button where it is a network of the page."""
    name = escape(pick.name)
    if network is not None:
        name = f'<button type="button" class="plain" data-select="{network}">{name}</button>'
    error = points_text(pick.difference_error, metric, 1)
    below = f"{points_text(pick.difference, metric, 1).split()[0]} \u00b1 {error}"
    below = below if pick.difference_error else ""  # the answer itself
    values = (
        number(pick.latency),
        share_text(pick.top1, metric, 1).rstrip("%"),
        below,
        short_count(pick.macs),
        short_count(pick.params),
    )
    cells = "".join(f"<td{_NUMBER}>{escape(value)}</td>" for value in values)
    return f'<tr><th scope="row">{name}</th>{cells}</tr>'


def short_bytes(count: float) -> str:
    """Return a number of bytes in KiB, from 1,024 KiB on in MiB."""
    return f"{count / 2**20:.2f} MiB" if count >= 2**20 else f"{count / 2**10:,.0f} KiB"


def _gauge(parts: str, label: str) -> str:
    track = '<rect class="track" x="0" y="4" width="100" height="6"/>'
    view = f'viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true" data-gauge="{label}"'
    return f'<svg class="gauge" {view}>{track}{parts}</svg>'


def _tick(x: float) -> str:
    return f'<line class="tick" x1="{x:.2f}" x2="{x:.2f}" y1="0" y2="14"/>'
