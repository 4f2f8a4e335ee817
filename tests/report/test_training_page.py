"""The page of a training: its curves, classes and confusions, drawn by scripts that find all they look at."""

import json
from pathlib import Path

import numpy as np
import pytest

from nas.arch import ArchSpec
from nas.ops import Conv, Head, Shape
from nas.records.confusion import Confusion, save_confusion
from nas.records.history import EpochRow, History
from nas.report.training_page import training_page, write_training_page
from tests.support.browser import Browser, installed
from tests.support.taught import make_taught

ARCH = ArchSpec(Shape(8, 8, 3), ((Conv(4, 3, 2),),), Head(), 3)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of three classes, with a history put beside it."""
    folder = make_taught(tmp_path_factory.mktemp("page"), ARCH) / "teacher"
    rows = tuple(EpochRow(i, 0.01 / i, 1 / i, 0.5, 1.1 / i, 0.4 + 0.05 * i) for i in range(1, 6))
    History("top-1", 30, 15, 0, rows).write(folder)
    return folder


def test_the_page_has_curves_classes_and_confusions(training: Path) -> None:
    text = write_training_page(training).read_text()
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    assert [chart["title"] for chart in data["curves"]] == ["top-1 (%)", "loss (nats)", "learning rate"]
    assert data["curves"][0]["series"][0]["points"][-1] == [5, 65]
    assert "best in epoch 5 of 5: 65.00% of 15" in text and "Accuracy of each class" in text
    assert text.count("color-mix") >= 1


def test_names_are_text_and_large_matrices_stay_in_the_file(training: Path) -> None:
    save_confusion(training, Confusion.of(tuple(f"<b>{i}</b>" for i in range(70)), np.arange(70), np.arange(70) // 2))
    text = training_page(training)
    assert "<b>1</b>" not in text and "is in confusion.csv" in text and "&lt;b&gt;" in text


@pytest.mark.skipif(installed() is None, reason="no chromium")
def test_a_browser_draws_it(training: Path, tmp_path: Path) -> None:
    page = write_training_page(training)
    program = installed()
    assert program is not None
    with Browser(program, tmp_path) as browser:
        browser.open(page, 1000)
        assert browser.value("document.querySelectorAll('[data-figure=curves] svg path.line').length") == 5
