"""A tracker: the numbers of a run as lines of a CSV in its folder; yours may send them to a dashboard of your own."""

from collections.abc import Mapping

from nas.trackers import TrackedRun


class CsvTracker:
    """Appends "step,name,value" to numbers.csv, below the settings of the run as comments."""

    def __init__(self, run: TrackedRun) -> None:
        self._file = (run.folder / "numbers.csv").open("a")
        self._file.writelines(f"# {name} = {value}\n" for name, value in run.settings.items())

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Write the numbers of one step; names are "stage/number"."""
        self._file.writelines(f"{step},{name},{value}\n" for name, value in values.items())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
