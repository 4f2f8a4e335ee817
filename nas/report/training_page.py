"""The report of a training: report.html with its curves, the accuracy of each class and the confusion matrix."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from nas.files import write_whole
from nas.records.class_accuracy import ClassAccuracy
from nas.records.confusion import Confusion, load_confusion
from nas.records.history import EpochRow, History, load_history
from nas.records.results import accuracy_from
from nas.records.target_scores import TargetScores
from nas.records.trainings import read_training
from nas.report.markup import fold, paragraph, section, table
from nas.report.page import figure_place, page, rounded

PAGE = "report.html"
MOST_CLASSES = 60  # of a confusion matrix in a page; the file has those of more
NO_NETWORKS: dict[str, Any] = {  # what the scripts of every page look at
    "networks": [], "archs": [], "targets": [], "shown": [], "kinds": [], "metrics": [], "latency": [], "fronts": [],
    "within_noise": [], "times": [], "bounds": [], "glossary": {}, "first": None, "latency_label": "",
}  # fmt: skip


def write_training_page(folder: Path) -> Path:
    """Write report.html into the folder of a finished training, and return its path."""
    path = folder / PAGE
    write_whole(path, training_page(folder))
    return path


def training_page(folder: Path) -> str:
    """Return the report as HTML; `InvalidInput` where the folder holds no finished training, or was altered."""
    stated = read_training(folder)
    history, confusion = load_history(folder), load_confusion(folder)
    name = folder.resolve().name
    said = "" if history is None else history.text()
    parts = [f"<header><h1>Training {escape(name)}</h1>", *_top(stated), "</header><main>"]
    if history is not None and history.rows:
        parts += section(
            "Curves",
            f"After each epoch, of the averaged weights without augmentation: {history.training_examples:,} training "
            f"examples and the {history.validation_examples:,} that were set aside. {said[:1].upper()}{said[1:]}.",
            figure_place("curves", "loss, score and learning rate over the epochs"),
        )
    if by_class := ClassAccuracy.stated_by(stated):
        rows = sorted(by_class.rows(), key=lambda row: row[1])
        text = f"On the test images, the lowest first. Their mean, the balanced accuracy, is {by_class.balanced:.2%}."
        cells = [(one, f"{top1:.1%}", f"{images:,}") for one, top1, images in rows]
        parts += section("Accuracy of each class", text, table(("class", "top-1", "test images"), cells))
    if confusion is not None:
        parts += _confusion(confusion)
    settings = [(str(key), str(value)) for key, value in dict(stated.get("settings", {})).items()]
    parts.append(fold("Settings", table(("setting", "value"), settings, numbers=False)))
    charts = [] if history is None else list(_charts(history))
    return page(f"Training {name}", "\n".join([*parts, "</main>"]), {**NO_NETWORKS, "curves": charts}, ("report",))


def _top(stated: dict[str, Any]) -> Iterator[str]:
    """Yield what the training came to, and what it is of."""
    accuracy = accuracy_from(stated["accuracy"])
    yield paragraph(f"{accuracy.kind.label()} · started from {stated.get('started_from', '?')}", "eyebrow")
    if scores := TargetScores.stated_by(stated):
        yield "".join(paragraph(line) for line in scores.lines())
        return
    text = f"{accuracy.text} \u00b1 {accuracy.error_text} (standard error)"
    yield paragraph(
        f"Test {accuracy.kind.title} {text} on {accuracy.images:,} images, after {stated['steps']:,} steps."
    )


def _charts(history: History) -> Iterator[dict[str, Any]]:
    """Yield the charts: score, loss and learning rate over the epochs."""
    rows, share = history.rows, history.metric == "top-1"
    factor, unit = (100, " (%)") if share else (1, "")
    pairs = (
        (f"{history.metric}{unit}", "training_score", "validation_score", factor),
        ("loss (nats)" if share else "loss", "training_loss", "validation_loss", 1),
    )
    for title, training, validation, by in pairs:
        series = [_series("validation", validation, rows, by), _series("training", training, rows, by)]
        yield {"title": title, "x": "epochs", "series": series}
    yield {"title": "learning rate", "x": "epochs", "series": [_series("learning rate", "learning_rate", rows, 1)]}


def _series(name: str, key: str, rows: Sequence[EpochRow], factor: float) -> dict[str, Any]:
    values = rounded([factor * getattr(row, key) for row in rows])
    return {
        "name": name,
        "dots": False,
        "points": [[row.epoch, value] for row, value in zip(rows, values, strict=True)],
    }


def _confusion(confusion: Confusion) -> list[str]:
    """Return the section of the confusion matrix: shaded by the share of the images of a true class."""
    wrong = "; ".join(f"{true} taken for {taken}, {count:,} times" for true, taken, count in confusion.worst())
    text = f"Rows: the true class, columns: the predicted one. Most frequent mistakes: {wrong or 'none'}."
    size = len(confusion.names)
    if size > MOST_CLASSES:
        return section("Confusion matrix", text, paragraph(f"The matrix of {size:,} classes is in confusion.csv."))
    head = "".join(f'<th scope="col" class="number">{escape(name)}</th>' for name in confusion.names)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(_cell(count, sum(row)) for count in row)}</tr>'
        for name, row in zip(confusion.names, confusion.counts, strict=True)
    )
    matrix = f'<table><thead><tr><th scope="col"></th>{head}</tr></thead><tbody>{body}</tbody></table>'
    return section("Confusion matrix", text, f'<div class="wide" tabindex="0">{matrix}</div>')


def _cell(count: int, images: int) -> str:
    share = round(70 * count / images) if images else 0
    shade = (
        f' style="background: color-mix(in srgb, var(--c0) {share}%, transparent); padding: 0 .4em"' if count else ""
    )
    return f'<td class="number"{shade}>{count or ""}</td>'
