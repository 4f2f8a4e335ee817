"""A campaign: attacks on all readers and flags in turn, drawn from a seed, for a number of rounds or seconds."""

import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fuzz import files, flags
from tests.fuzz.files import Attack
from tests.fuzz.invocation import Fault, attack, no_long_work


@dataclass
class Found:
    """How often each reader was attacked, and the faults by kind and place, the first of each."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: dict[tuple[str, str], Fault] = field(default_factory=dict)
    faults_in_all: int = 0

    def add(self, reader: str, fault: Fault | None) -> None:
        """Count an attack."""
        self.counts[reader] += 1
        if fault:
            self.faults_in_all += 1
            self.faults.setdefault((fault.kind, fault.place or fault.detail[:60]), fault)


def campaign(folder: Path, seed: int, seconds: float = float("inf"), attacks: int | None = None) -> Found:
    """Attack every reader and flag in turn, in the empty `folder`, until either is over."""
    source, found, began = folder / "source", Found(), time.monotonic()
    source.mkdir()
    makers = {**files.prepare(source), **flags.prepare()}
    for number, (reader, maker) in enumerate(_turns(makers, seed)):
        if number == attacks or time.monotonic() - began > seconds:
            return found
        found.add(reader, run_one(maker(random.Random(f"{seed} {number}")), source, folder / "place"))
    raise AssertionError("the turns never end")


def _turns(
    makers: dict[str, Callable[[random.Random], Attack]], seed: int
) -> Iterator[tuple[str, Callable[[random.Random], Attack]]]:
    """Yield all readers again and again, in another order each time, commands more often than files of runs."""
    rng = random.Random(seed)
    while True:
        names = [name for name in makers for _ in range(1 if "/" in name else 3)]
        rng.shuffle(names)
        yield from ((name, makers[name]) for name in names)


def run_one(one: Attack, source: Path, place: Path) -> Fault | None:
    """Lay out what an attack finds, run its command there, and return what is wrong with how it ended."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    if one.path:
        files.lay_out(one, source, place)
    else:
        flags.lay_out(place, source)
    with _inside(place), pytest.MonkeyPatch.context() as patch, no_long_work(patch):
        patch.setenv("NAS_DATA_DIR", str(place / "no-data"))
        return attack(one.words, place)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
