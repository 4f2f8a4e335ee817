"""What a run folder says about its network against the baseline, and the candidates within the noise beside it."""

from pathlib import Path

from nas.records import picks, verdict
from nas.records.results import standard_error
from nas.report.result_card import Outcome, Pick, Verdict


def read_verdict(run: Path) -> Verdict | None:
    """Return the verdict against the baseline in the folder `run`, None where no baseline was trained."""
    stored = verdict.load_verdict(run)
    if stored is None:
        return None
    outcome: Outcome = "better" if stored.difference > 0 else "worse"
    text, basis = (line[:1].upper() + line[1:] for line in (stored.text, stored.basis))
    return Verdict(outcome if stored.told else "unclear", text, basis)


def read_picks(run: Path) -> tuple[Pick, ...]:
    """Return the candidates within the noise of the network found, none where the run has not told them apart."""
    stored = picks.load_picks(run)
    if stored is None or len(stored.picks) < 2:
        return ()
    return tuple(
        Pick(
            one.digest[:8], one.latency, one.top1, standard_error(one.top1, stored.images), one.macs, one.params,
            one.name,
        )
        for one in stored.picks
    )  # fmt: skip
