"""The CSV tables of a run folder, their columns by kind, and the readers that hold them to it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import InvalidInput
from nas.records.typed import Count, Fraction, NonNegative, Positive, PositiveCount, read_table

if TYPE_CHECKING:
    import pandas as pd  # imported where a table is read: `nas describe` and `nas zoo` need none

NETWORK: dict[str, Any] = {  # of front.csv and evaluated.csv
    "digest": str, "spec": str, "latency": Positive, "latency_unit": str, "top1": Fraction,
    "standard_error": Fraction, "macs": NonNegative | None, "params": NonNegative | None, "accuracy_kind": str | None,
    "memory_kb": NonNegative | None, "flash_kb": NonNegative | None, "energy_mj": NonNegative | None,
    "latency_budget": Positive | None,
}  # fmt: skip
EVALUATED: dict[str, Any] = NETWORK | {
    "latency": Positive | None, "top1": float, "on_front": bool, "origin": str | None, "genotype": str | None,
}  # fmt: skip
FINALISTS: dict[str, Any] = {  # of a run
    "stage": str, "digest": str, "spec": str, "epochs": PositiveCount, "top1": Fraction, "pictures": PositiveCount,
    "supernet_top1": Fraction | None, "standard_error": Fraction | None, "float_top1": Fraction | None,
}  # fmt: skip
TRIALS: dict[str, Any] = {  # finalists.csv of nas finalists
    "place": PositiveCount, "digest": str, "latency": Positive, "latency_unit": str, "supernet_top1": Fraction,
    "alone_top1": Fraction, "epochs": Count, "state": str, "supernet_place": PositiveCount, "gained": int,
    "error": str,
}  # fmt: skip
TABLES = {"front.csv": NETWORK, "evaluated.csv": EVALUATED, "finalists.csv": FINALISTS}  # of a run, by name
WHAT = {"front.csv": "the front of a search", "evaluated.csv": "the networks that a search evaluated"}


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table of a run, one of `TABLES`; `InvalidInput` where it was altered."""
    return read_table(path, TABLES[path.name], WHAT.get(path.name, "a table of candidates"))


def frame_of(path: Path, **options: Any) -> "pd.DataFrame":
    """Return a table of a run, one of `TABLES`, as pandas reads it; `InvalidInput` where it was altered."""
    import pandas as pd

    rows_of(path)
    try:
        return pd.read_csv(path, **options)
    except (ValueError, OverflowError) as error:  # pandas' own errors are ValueErrors
        raise InvalidInput(f"{path} is no table of a run's networks ({error}); run the search again") from error
