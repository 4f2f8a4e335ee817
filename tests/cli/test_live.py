"""The display of progress: one bar over all phases, lines where there is no terminal, what `nas watch` sees."""

import json
import os
from io import StringIO
from pathlib import Path

import pytest

from nas.cli.live import STATUS_FILE, LiveReporter, Status, read_status, status_text, write_status
from nas.files import remove_temporaries
from nas.progress import Progress, SilentReporter, report_timing
from nas.progress.time_left import Begun, Compiled, Phase, Schedule

PHASES = (Phase("coarse", 10, 1.0, compile_s=5.0), Phase("fine", 10, 2.0, compile_s=5.0))


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def at_work(clock: Clock, reporter: LiveReporter) -> None:
    """Report half of the coarse stage, at the expected speed."""
    report_timing(reporter, Schedule(PHASES))
    report_timing(reporter, Begun("coarse", compiling=True))
    clock.now += 5
    report_timing(reporter, Compiled("coarse"))
    for step in range(1, 6):
        clock.now += 1
        reporter.progress(Progress("coarse", step, 10, 0.5, seconds_left=10.0 - step))


def test_the_time_left_is_that_of_all_phases(clock: Clock) -> None:
    reporter = LiveReporter(StringIO(), clock)
    at_work(clock, reporter)
    status = reporter.status(clock.now)
    assert (status.stage, status.step, status.steps, status.compiling_s) == ("coarse", 5, 10, None)
    assert (status.elapsed_s, status.left_s) == (10.0, 30.0)
    assert status.fraction == 0.25
    assert reporter.status(clock.now + 2).left_s == 28.0


def test_lines_where_there_is_no_terminal_say_steps_elapsed_and_left_and_the_best_so_far(clock: Clock) -> None:
    file = StringIO()
    reporter = LiveReporter(file, clock)
    at_work(clock, reporter)
    clock.now += 40
    reporter.progress(Progress("coarse", 9, 10, 0.5, 0.75, 1.5))
    reporter.progress(Progress("coarse", 10, 10, None, 0.75))
    assert file.getvalue().splitlines() == [
        "compiling coarse: 0:00 elapsed, 0:40 left",
        "coarse 1/10: loss 0.500, 0:06 elapsed, 0:34 left",
        "coarse 9/10: loss 0.500, argmax 75.0% at 1.500 ms, 0:50 elapsed, 1:50 left",
        "coarse 10/10: best 75.0%, 0:50 elapsed, 1:35 left",
    ]


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_a_terminal_shows_fits_it(width: int, ascii_only: bool) -> None:
    status = Status("pixel8-edgetpu/coarse", 120, 1000, "loss 1.234, " * 9, 3725.0, 7200.0)
    for one in (status, Status("fine", 0, 240, "", 60.0, 120.0, compiling_s=12.3)):
        lines = status_text(one, width, 0.3, ascii_only=ascii_only).plain.split("\n")
        assert all(len(line) <= width for line in lines)
        assert not ascii_only or all(map(str.isascii, lines))
    shown = status_text(Status("fine", 0, 240, "", 60.0, 120.0, compiling_s=12.3), 80, 0.3, ascii_only=True).plain
    assert shown == "- ########................ 1:00 elapsed, 2:00 left  compiling fine, 12 s"


def test_a_watcher_sees_the_same_status(clock: Clock, tmp_path: Path) -> None:
    with LiveReporter(StringIO(), clock, tmp_path) as reporter:
        at_work(clock, reporter)
        seen = read_status(tmp_path)
        assert seen is not None and (seen.stage, seen.step) == ("coarse", 5)
        assert seen.left_s == pytest.approx(30.0, abs=5) and seen.elapsed_s == pytest.approx(10.0, abs=5)
        watcher = LiveReporter(StringIO(), clock)
        watcher.show(seen)
        clock.now += 3
        assert watcher.status(clock.now).left_s == pytest.approx((seen.left_s or 0.0) - 3)
    assert read_status(tmp_path) is None and not list(tmp_path.iterdir())


def test_a_status_ages_with_its_file_and_whoever_takes_the_folder_next_removes_it(tmp_path: Path) -> None:
    write_status(tmp_path, Status("fine", 1, 2, "", 10.0, 100.0, compiling_s=1.0))
    path = tmp_path / STATUS_FILE
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 50))
    seen = read_status(tmp_path)
    assert seen is not None and seen.compiling_s is not None
    assert seen.left_s == pytest.approx(50, abs=5) and seen.compiling_s == pytest.approx(51, abs=5)
    path.write_text(json.dumps({"stage": "fine", "colour": "red"}))  # of another release
    assert read_status(tmp_path) is None
    remove_temporaries(tmp_path)
    assert not path.exists()


def test_reporters_that_know_nothing_of_phases_are_left_alone() -> None:
    report_timing(SilentReporter(), Schedule(PHASES))
