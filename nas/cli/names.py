"""Names on the command line that are refused where they are mistyped, before jax is imported, which takes seconds."""

import os
from collections.abc import Iterable

from latency_models.target import load_target
from nas.data import load
from nas.records.networks import arch_of
from nas.registry import DATA_SETS


def check_network(text: str) -> None:
    """Refuse what names no network."""
    arch_of(text)


def check_data(text: str) -> None:
    """Refuse what is neither the name of a data set nor a file or folder that exists."""
    if text not in DATA_SETS and ":" not in text and not os.path.exists(os.path.expanduser(text)):
        load(text)  # raises the line that says what is wrong


def check_targets(names: Iterable[str]) -> None:
    """Refuse a target of no known name, or the file of one that cannot be used."""
    for name in names:
        load_target(name)
