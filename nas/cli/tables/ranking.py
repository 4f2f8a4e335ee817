"""What a ranking found, as a table and sentences: from memory, or from rank.json."""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

from nas.cli.console import aligned_table, console
from nas.cli.output import print_json
from nas.files import read_json
from nas.records.results import points_text
from nas.report.terminal_table import FittedTable
from nas.search.accuracy.evidence import Tau
from nas.search.accuracy.ranking import CONFIDENCE, RankingEvidence

RESULT = "rank.json"


def show_ranking(args: argparse.Namespace, folder: Path) -> None:
    """Print what a finished ranking found."""
    stored = read_json(folder / RESULT)
    if args.json:
        print_json({"folder": str(folder), **stored})
        return
    evidence = RankingEvidence.from_dict(stored)
    console().print(ranking_rows(evidence))
    for line in ranking_notes(evidence):
        console().print(line, markup=False)
    if stored.get("quantize"):
        console().print(f"accuracies are those in {stored['quantize']}", markup=False)


def ranking_rows(evidence: RankingEvidence) -> FittedTable:
    """Return the predictors, a row each, with the noise ceiling and the agreement of two seeds below them."""
    table = aligned_table("what ranks networks of equal latency", ["predictor"], ["tau", f"{CONFIDENCE:.0%} interval"])
    for name, tau in evidence.predictors.items():
        table.add_row(name, *_shown(tau))
    if evidence.between_seeds is not None:
        table.add_row("one seed, by another", *_shown(evidence.between_seeds))
    ceiling = evidence.ceiling
    if math.isfinite(ceiling.expected):
        table.add_row("a perfect predictor", f"{ceiling.expected:+.2f}", f"{ceiling.low:+.2f} to {ceiling.high:+.2f}")
    return table


def ranking_notes(evidence: RankingEvidence) -> Iterator[str]:
    """Yield sentences below the table: how far the networks differ, and how much of that is noise."""
    known = not math.isnan(evidence.noise)
    noise = points_text(evidence.noise, evidence.metric) if known else "not known: one seed"
    yield (
        f"{evidence.networks} networks, {evidence.seeds} seeds: mean accuracies differ with a standard deviation of "
        f"{points_text(evidence.spread, evidence.metric)}; two trainings of one network: {noise}"
    )
    resolved = [name for name, tau in evidence.predictors.items() if tau.positive]
    yield f"ranks better than chance: {', '.join(resolved) or 'none, as far as so few networks show'}"


def _shown(tau: Tau) -> tuple[str, str]:
    """Return a tau and its interval as text."""
    return f"{tau.value:+.2f}", f"{tau.low:+.2f} to {tau.high:+.2f}"
