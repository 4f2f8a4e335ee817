"""What a run folder says about its network against the baseline, and the candidates within the noise beside it."""

from pathlib import Path

from nas.report.result_card import Pick, Verdict


def read_verdict(run: Path) -> Verdict | None:
    """Return the verdict against the baseline in the folder `run`, None where no baseline was trained."""
    return None


def read_picks(run: Path) -> tuple[Pick, ...]:
    """Return the candidates within the noise of the network found, none where the run has not told them apart."""
    return ()
