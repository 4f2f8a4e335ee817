"""Tables of measurements as spreadsheets save them: read as they are meant, or refused in one line that says why."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_models.calibration.calibrate import calibrate
from latency_models.calibration.measurements import read_measurements
from latency_models.measurement_table import read_table
from nas.arch import save_arch
from nas.errors import InvalidInput
from nas.export.provenance import measured_latency
from nas.measure.benchmark import BenchmarkRow, write_measurements
from nas.measure.benchmark import read_measurements as read_benchmark
from tests.support.made_up_device import APART, SEEN

REQUIRED = ("arch", "latency_ms")


def table(tmp_path: Path, content: str | bytes, name: str = "m.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def latencies(path: Path) -> list[float]:
    return [row.positive("latency_ms") for row in read_table(path, REQUIRED, ("latency_ms", "energy_mj")).rows]


@st.composite
def dialects(draw: st.DrawFn) -> tuple[list[float], bytes, bool]:
    """Draw latencies, a table of them in a form in which spreadsheets save it, and whether it may read in two ways.

    Two forms are left out, as the documentation gives them another meaning: whole numbers with dots between thousands,
    as a lone dot is the decimal sign, and with commas there, as that is the decimal sign between semicolons.
    """
    decimals = draw(st.integers(0, 4))
    values = [round(value, decimals) for value in draw(st.lists(st.floats(1, 5e6), min_size=1, max_size=8))]
    separator, decimal = draw(st.sampled_from(",;\t")), draw(st.sampled_from(".,"))
    other = {".": ",", ",": "."}[decimal]
    groups = ["", " ", "\u00a0", "\u202f", "'"]
    groups += [other] if decimals or (other == "," and separator != ";") else []
    group = draw(st.sampled_from(groups))
    cells = []
    for value in values:
        whole, _, rest = f"{value:,.{decimals}f}".partition(".")
        cells.append(whole.replace(",", group) + (decimal + rest if decimals else ""))
    trailing = [""] * draw(st.integers(0, 2))
    rows = [["Arch", "latency_ms", *trailing], *([f"n{i}.json", cell, *trailing] for i, cell in enumerate(cells))]
    rows += [[""] * len(rows[0])] * draw(st.integers(0, 2))
    text = io.StringIO()
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    csv.writer(text, delimiter=separator, quoting=quoting, lineterminator="\n").writerows(rows)
    stated = f"sep={separator}\n" if draw(st.booleans()) else ""
    lines = (stated + text.getvalue()).replace("\n", draw(st.sampled_from(["\n", "\r\n", "\r"])))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]))
    two_ways = separator != ";" and (decimals == 3 if decimal == "," else decimals == 0 and group == ",")
    return values, lines.encode(encoding), two_ways


@given(dialects())
def test_a_table_is_read_as_it_is_meant_or_refused(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[list[float], bytes, bool]
) -> None:
    values, content, two_ways = drawn
    path = table(tmp_path_factory.getbasetemp(), content, "dialect.csv")
    try:
        found = latencies(path)
    except InvalidInput:
        assert two_ways
    else:
        assert found == values


@pytest.mark.parametrize(
    "content",
    [
        "arch;latency_ms\r\na;26,165\r\nb;3,071\r\n",
        "sep=;\r\narch;latency_ms\r\na;26.165\r\nb;3.071\r\n",
        "arch\tlatency_ms\r\na\t26.165\r\nb\t3.071\r\n",
        "SEP=\t\narch\tlatency_ms\na\t26,165\nb\t3,0710\n",
        '\ufeffarch,latency_ms,,\r\na,"26,165",,\r\nb,"3,0710"\r\n,,,\r\n',
        '"sep=;"\n\n"Arch";" LATENCY_MS ";energy_mj\n"a";"26,165"\n"b";"3,071";\n;;\n',
        'arch,latency_ms\na,26.165\nb, "3.071"\n',
        "sep=|\narch|latency_ms|remark\na|26.165|cold; again\nb|3.071|1,5\n",
        "index,arch,latency_ms\n0,a,26.165\n1,b,3.071\n",
    ],
)
def test_the_same_latencies_in_many_forms(tmp_path: Path, content: str) -> None:
    for encoding in ("utf-8", "utf-16", "utf-16-be", "cp1252"):
        if encoding == "utf-8" or "\ufeff" not in content:
            assert latencies(table(tmp_path, content.encode(encoding))) == [26.165, 3.071]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('arch,latency_ms\na,"1,234"\n', "line 2: '1,234' may be 1.234 or 1234, .*separated by commas.*write decimals"),
        ("arch\tlatency_ms\na\t1,234\nb\t2,345\n", "line 2: '1,234' may be 1.234 or 1234, .*separated by tabs"),
        ("arch;latency_ms\na;1.5\nb;2,5\n", r"'1.5' \(line 2\) and '2,5' \(line 3\) have different decimal signs"),
        ("arch;latency_ms\na;1.234,5\nb;2.5\n", r"'1.234,5' \(line 2\) and '2.5' \(line 3\) have different"),
        ("arch;latency_ms;energy_mj\na;1,5;2.25\n", r"'2.25' \(line 2\) and '1,5' \(line 2\) have different"),
        ("arch,latency_ms\na,26,165\n", "line 2 has another number of cells .*comma is the decimal sign, put semicol"),
        ("arch;latency_ms\na;1;2\n", r"line 2 has another number of cells \(3\) than the first line \(2\)$"),
        ("arch;latency_ms\na\n", "line 2 has another number of cells"),
        ("name;ms\na;1\n", "lacks the column 'arch'; .*name the columns arch and latency_ms, and has, between semi"),
        ("arch;latency\na;1\n", "lacks the column 'latency_ms'; .*between semicolons: arch;latency$"),
        ('"arch,latency_ms";\n"a,";26,165\n', "'arch,latency_ms' is one cell of it: split it into columns"),
        ("sep=;\narch,latency_ms\na,1\n", "'arch,latency_ms' is one cell of it: split it into columns"),
        ("arch,latency_ms,latency_ms\na,1,2\n", "has the column 'latency_ms' twice; keep one"),
        ('arch,latency_ms\n"a,1\n', "no CSV file: line 2"),
        ("arch,latency_ms\na,\n", "line 2: latency_ms must be positive and finite, got ''; fill the cell, or remove"),
        (b"PK\x03\x04sheet", "a workbook; save its sheet as CSV"),
        (b"\xff\xfe", "no CSV file: it holds no text"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0", "not UTF-8 text"),
    ],
)
def test_what_is_no_table_or_reads_in_two_ways_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = table(tmp_path, content)
    with pytest.raises(InvalidInput, match=message) as error:
        latencies(path)
    assert "\n" not in str(error.value)


def test_a_number_with_both_signs_settles_the_others(tmp_path: Path) -> None:
    assert latencies(table(tmp_path, "arch;latency_ms\na;1.234,5\nb;26.165\n")) == [1234.5, 26165]
    assert latencies(table(tmp_path, 'arch,latency_ms\na,"1,234.5"\nb,"26,165"\n')) == [1234.5, 26165]


def test_a_table_of_one_column_keeps_commas_in_names(tmp_path: Path) -> None:
    path = table(tmp_path, "arch\r\nmobilenetv2@1.0,96px\r\nmobilenetv2\r\n")
    assert [row["arch"] for row in read_table(path, ["arch"]).rows] == ["mobilenetv2@1.0,96px", "mobilenetv2"]


def test_a_spreadsheet_gives_the_same_target(tmp_path: Path) -> None:
    for number, arch in enumerate(SEEN[:8]):
        save_arch(arch, tmp_path / f"n{number}.json")
    rows = [(f"n{number}.json", f"{APART.predict_ms(arch):.4f}") for number, arch in enumerate(SEEN[:8])]
    forms = {
        "dots.csv": "arch,latency_ms\n" + "".join(f"{name},{ms}\n" for name, ms in rows),
        "semicolon.csv": "arch;latency_ms\r\n" + "".join(f"{name};{ms}\r\n" for name, ms in rows).replace(".", ","),
        "unicode.txt": "arch\tlatency_ms\r\n" + "".join(f"{name}\t{ms}\r\n" for name, ms in rows).replace(".", ","),
    }
    forms = {name: text.replace(",json", ".json") for name, text in forms.items()}
    paths = [table(tmp_path, text.encode("utf-16" if "uni" in name else "utf-8"), name) for name, text in forms.items()]
    dots, *others = (calibrate(read_measurements(path), "device").target for path in paths)
    assert others == [dots, dots]


def test_measurements_of_this_engine_keep_their_digits(tmp_path: Path) -> None:
    row = BenchmarkRow("a.json", 0.1 + 0.2, 1, 0.25, "fake", 1, 'a "fast", new one', "v", SEEN[0].digest)
    write_measurements(tmp_path / "m.csv", [row])
    assert read_benchmark(tmp_path / "m.csv") == [row]
    saved = table(tmp_path, (tmp_path / "m.csv").read_text().replace('"a ""fast"", new one"', "a; b").encode("utf-16"))
    found = measured_latency(saved, SEEN[0])
    assert found == {"measured_ms": "0.30000000000000004", "measured_on": "fake, 1 threads, batch 1, a; b"}
