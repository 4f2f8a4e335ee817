"""A progress reporter that prints plain lines, for the logs of studies."""

from collections.abc import Sequence

from nas.progress import Progress, SilentReporter


class LineReporter(SilentReporter):
    """A progress reporter that prints a line per report."""

    def plan(self, lines: Sequence[str]) -> None:
        """Print the plan."""
        print(*lines, sep="\n", flush=True)

    def progress(self, event: Progress) -> None:
        """Print stage, step, loss, best top-1 and the remaining time."""
        left = "" if event.seconds_left is None else f", {event.seconds_left:.0f} s left in this stage"
        loss = "" if event.loss is None else f", loss {event.loss:.3f}"
        print(f"{event.stage} {event.step}/{event.steps}{loss}, best top-1 {event.argmax_top1}{left}", flush=True)

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)
