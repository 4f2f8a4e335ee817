"""The documentation as data: pages with their blocks, commands, links, anchors and tables of claims."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

MARK = "<!-- executed by tests/docs -->"  # stands above a block that a test runs
FENCE, SHELL = "```", ("sh", "")  # of a block without a language, lines that call nas are commands
CLAIMS = ["claim", "figure", "command"]  # header of a table of results


@dataclass(frozen=True)
class Block:
    """A block of code: its language ("" for none or an indented one), and whether a test runs it."""

    language: str
    text: str
    executed: bool = False

    @property
    def commands(self) -> list[list[str]]:
        """The commands of the block as words, comments left out; those that `&&` joins are several."""
        return [words for line in self.text.splitlines() for words in commands_of(line)]


def commands_of(line: str) -> Iterator[list[str]]:
    """Yield the commands of one line as words; the program without its folder."""
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), "&&"]:
        if word != "&&":
            words.append(word)
        elif words:
            yield [Path(words[0]).name, *words[1:]]
            words = []


@dataclass(frozen=True)
class Page:
    """A page of Markdown."""

    path: Path

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the page."""
        return self.path.read_text().splitlines()

    @cached_property
    def blocks(self) -> list[Block]:
        """The blocks of code, fenced or indented by four spaces after an empty line."""
        return list(self._blocks())

    def _blocks(self) -> Iterator[Block]:
        language, body, above = None, list[str](), ""
        for line in [*self.lines, ""]:
            if language is None and line.startswith(FENCE):
                language, body, executed = line.removeprefix(FENCE).strip(), [], above == MARK
            elif language is not None and line.startswith(FENCE):
                yield Block(language, "\n".join(body), executed)
                language, body = None, []
            elif language is not None:
                body.append(line)
            elif line.startswith("    ") and (body or not above):
                body.append(line.strip())
            elif body:
                yield Block("", "\n".join(body))
                body = []
            above = line

    @cached_property
    def prose(self) -> str:
        """The page without its fenced blocks."""
        return re.sub(rf"^{FENCE}.*?^{FENCE}$", "", self.path.read_text(), flags=re.DOTALL | re.MULTILINE)

    @property
    def inline(self) -> list[str]:
        """The code in the running text: what stands between backticks."""
        return re.findall(r"`([^`]+)`", self.prose.replace("\n", " "))

    @property
    def links(self) -> list[str]:
        """Where links and images lead that are no addresses of the web."""
        return [link for link in re.findall(r"\]\(([^)\s]+)\)", self.prose) if "://" not in link]

    @property
    def anchors(self) -> set[str]:
        """The anchors of the headings, as GitHub makes them."""
        titles = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    @property
    def claims(self) -> list[list[str]]:
        """The rows of the tables of results: claim, figure, command."""
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in self.lines]
        found, inside = [], False
        for before, row in pairwise(rows):
            inside = len(row) == len(CLAIMS) and (inside or before == CLAIMS)
            if inside and set(row[0]) - set("- "):
                found.append(row)
        return found

    @property
    def dialogues(self) -> list[tuple[str, str]]:
        """The commands of `console` blocks with the line that each prints."""
        lines = [line for block in self.blocks if block.language == "console" for line in block.text.splitlines()]
        return [(line.removeprefix("$ "), answer) for line, answer in pairwise(lines) if line.startswith("$ ")]
