"""Numbers with units on the command line."""

import argparse
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.cli.units import count, kibibytes, milliseconds, milliseconds_each
from nas.cli.units import millijoules as energy
from nas.records.units import COUNT, DIMENSIONS, ENERGY, MEMORY, TIME

TYPES: dict[str, Callable[[str], Any]] = {
    "ms": milliseconds, "KiB": kibibytes, "mJ": energy, "count": count,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("ms", "4ms", 4.0), ("ms", "250us", 0.25), ("ms", "250µs", 0.25), ("ms", "0.004s", 4.0), ("ms", "9.5", 9.5),
        ("ms", "1e3", 1000.0), ("ms", "1e-3s", 1.0), ("ms", "2 ms", 2.0), ("ms", "40_000ns", 0.04), ("ms", ".5", 0.5),
        ("KiB", "320KiB", 320.0), ("KiB", "320KB", 312.5), ("KiB", "320", 320.0), ("KiB", "2MB", 1953.125),
        ("KiB", "2MiB", 2048.0), ("KiB", "512B", 0.5), ("KiB", "1.5e3", 1500.0), ("KiB", "320kb", 312.5),
        ("KiB", "1GiB", 2.0**20), ("KiB", "64kib", 64.0),
        ("mJ", "5mJ", 5.0), ("mJ", "800uJ", 0.8), ("mJ", "0.001J", 1.0), ("mJ", "0.25", 0.25),
        ("count", "3M", 3_000_000), ("count", "1.5G", 1_500_000_000), ("count", "1.1M", 1_100_000),
        ("count", "200_000_000", 200_000_000), ("count", "4e6", 4_000_000), ("count", "128", 128),
        ("count", "2k", 2000), ("count", "2K", 2000), ("count", "12345678901234567890", 12345678901234567890),
    ],
)  # fmt: skip
def test_read(kind: str, text: str, value: float) -> None:
    assert TYPES[kind](text) == value


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (
            "ms",
            "4KB",
            "must be positive and finite, got '4KB', a size in memory (write 4ms; units: ns, us, ms, s; bare: ms)",
        ),
        ("ms", "4M", "got '4M', a count ("),
        ("ms", "4m", "got '4m'"),
        ("ms", "4mS", "got '4mS'"),
        ("ms", "0ms", "got '0ms'"),
        ("ms", "-4ms", "got '-4ms'"),
        ("ms", "ms", "got 'ms'"),
        ("ms", "4ms5", "got '4ms5'"),
        ("ms", "1e999s", "got '1e999s'"),
        ("KiB", "3ms", "got '3ms', a time (write 320KiB; units: B, KB, KiB, MB, MiB, GB, GiB; bare: KiB)"),
        ("KiB", "3MHz", "got '3MHz'"),
        ("mJ", "5MJ", "got '5MJ' (write 5mJ; units: nJ, uJ, mJ, J; bare: mJ)"),
        ("mJ", "5ms", "a time"),
        ("count", "3MB", "a whole number of at least 1, got '3MB', a size in memory (write 3M; units: k, K, M, G, T)"),
        ("count", "1.5", "got '1.5'"),
        ("count", "0.0001k", "got '0.0001k'"),
        ("count", "nan", "got 'nan'"),
        ("count", "inf", "got 'inf'"),
        ("count", "", "got ''"),
    ],
)
def test_refused_in_one_line(kind: str, text: str, words: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as error:
        TYPES[kind](text)
    assert str(error.value).endswith(words) or words in str(error.value)
    assert "\n" not in str(error.value)


@given(st.floats(1e-6, 1e6), st.sampled_from(DIMENSIONS[:3]), st.data())
def test_every_unit_is_a_multiple_of_the_bare_one(number: float, dimension: Any, data: st.DataObject) -> None:
    read = {TIME.own: milliseconds, MEMORY.own: kibibytes, ENERGY.own: energy}[dimension.own]
    unit = data.draw(st.sampled_from(sorted(dimension.units)))
    assert read(f"{number!r}{unit}") == pytest.approx(read(repr(number)) * float(dimension.units[unit]), rel=1e-12)
    assert read(f"{number!r}{dimension.own}") == read(repr(number)) == pytest.approx(number, rel=1e-15)


@given(st.integers(1, 10**15))
def test_a_count_is_read_exactly(number: int) -> None:
    assert count(str(number)) == count(f"{number}e0") == number
    assert count(f"{number}M") == number * 10**6
    assert COUNT.own == ""


def test_several_latencies() -> None:
    assert milliseconds_each("4ms, 250us,1") == (4.0, 0.25, 1.0)
