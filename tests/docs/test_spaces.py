"""The table of search spaces on the page: all of them, with their sizes and the papers that their files name."""

import re
from importlib import import_module

from nas.registry import SPACES, load
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "quickstart.md").read_text()
ROWS = dict(re.findall(r"^\| `([\w-]+)` \| (.+) \|$", PAGE.partition("| `--space` | paper |")[2], re.MULTILINE))


def test_every_space_is_in_the_table_with_its_size() -> None:
    assert list(ROWS) and set(ROWS) == set(SPACES)
    for name, cells in ROWS.items():
        assert float(cells.split(" | ")[2]) == float(f"{load('space', SPACES, name).size():.1e}")


def test_papers_are_those_that_the_files_name() -> None:
    for name, cells in ROWS.items():
        text = import_module(SPACES[name].partition(":")[0]).__doc__ or ""
        papers = re.findall(r"arXiv (\d{4}\.\d{5})", cells)
        assert papers or "MobileNetV4" in cells
        assert all(paper in text for paper in papers)
