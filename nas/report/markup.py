"""Pieces of HTML that the pages share, and numbers as text; all text that comes from outside is escaped here."""

from collections.abc import Iterable, Sequence
from html import escape


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain `text` with the class `kind`."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def section(title: str, text: str, body: str) -> list[str]:
    """Return a heading, a soft paragraph that explains, and the markup `body`."""
    return [f"<h2>{escape(title)}</h2>", paragraph(text, "soft"), body]


def fold(summary: str, body: str, *, is_open: bool = False) -> str:
    """Return an element that unfolds the markup `body` where its `summary`, plain text, is clicked."""
    state = " open" if is_open else ""
    return f'<details class="fold"{state}><summary>{escape(summary)}</summary>{body}</details>'


def table(header: Sequence[str], rows: Iterable[Sequence[object]], numbers: bool = True) -> str:
    """Return an HTML table; with `numbers` all columns but the first are aligned to the right."""
    kind, own = (' class="number"', "") if numbers else ("", ' class="settings"')
    head, *others = map(escape, header)
    cells = "".join(f'<th scope="col"{kind}>{name}</th>' for name in others)
    body = "".join(_row(kind, [str(value) for value in row]) for row in rows)
    names = f'<thead><tr><th scope="col">{head}</th>{cells}</tr></thead>'
    return f'<div class="wide" tabindex="0"><table{own}>{names}<tbody>{body}</tbody></table></div>'


def _row(kind: str, values: Sequence[str]) -> str:
    first, *others = map(escape, values)
    return f'<tr><th scope="row">{first}</th>{"".join(f"<td{kind}>{value}</td>" for value in others)}</tr>'


def number(value: float) -> str:
    """Return a number with four significant digits, without decimals from 1,000 on."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def significant(value: float) -> str:
    """Return a number with three significant digits, without decimals from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def short_count(count: float) -> str:
    """Return a count with three significant digits: "2.29 M", "175 M", "1.2 G"; below 1,000 as it is."""
    for size, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:.3g}{name}"
    return f"{count:g}"


def kibibytes(count: float) -> str:
    """Return a number of bytes in KiB."""
    return f"{count / 1024:,.0f} KiB"
