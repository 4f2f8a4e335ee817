"""Progress of a study as plain lines, for logs."""

from collections.abc import Sequence

from nas.progress import Progress, SilentReporter


class Lines(SilentReporter):
    """A watcher that prints a line per report."""

    def plan(self, lines: Sequence[str]) -> None:
        """Print the plan."""
        print(*lines, sep="\n", flush=True)

    def progress(self, event: Progress) -> None:
        """Print what is known."""
        left = "" if event.seconds_left is None else f", {event.seconds_left:.0f} s left in this stage"
        loss = "" if event.loss is None else f", loss {event.loss:.3f}"
        print(f"{event.stage} {event.step}/{event.steps}{loss}, best top-1 {event.argmax_top1}{left}", flush=True)

    def say(self, line: str) -> None:
        """Print it."""
        print(line, flush=True)
