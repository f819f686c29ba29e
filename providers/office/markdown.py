"""Markdown of limited length, written block by block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

MAX_CHARACTERS: Final = 2_000_000
"""About 500,000 tokens: more than most models read at once."""
CUT: Final = "[The text was cut here: the file holds more.]"


class Full(Exception):
    """The text has reached its limit."""


class Markdown:
    """Blocks with an empty line between them."""

    def __init__(self, limit: int = MAX_CHARACTERS) -> None:
        self._blocks: list[str] = []
        self._left = limit
        self.is_cut = False

    @property
    def left(self) -> int:
        return self._left

    def add(self, block: str) -> None:
        """Raises Full when no more fits; what fits of the block is kept."""
        block = block.strip("\n")
        if not block.strip():
            return
        if len(block) > self._left:
            self._blocks.append(block[: self._left])
            self._left, self.is_cut = 0, True
            raise Full
        self._blocks.append(block)
        self._left -= len(block) + 2

    def heading(self, level: int, text: str) -> None:
        if text.strip():
            self.add(f"{'#' * min(max(level, 1), 6)} {one_line(text)}")

    def cut(self) -> None:
        self.is_cut = True
        raise Full

    def text(self) -> str:
        blocks = [*self._blocks, CUT] if self.is_cut else self._blocks
        return "\n\n".join(blocks) + "\n" if blocks else ""


def one_line(text: str) -> str:
    return " ".join(text.split())


def cell(text: str) -> str:
    """Text as it may stand in a cell of a table."""
    lines = (line.strip() for line in text.strip().splitlines())
    return "<br>".join(line for line in lines if line).replace("|", "\\|")


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells, the first as the head; columns that are empty to the right are left out."""
    kept = [[cell(value) for value in row] for row in rows]
    kept = [row for row in kept if any(row)]
    if not kept:
        return ""
    width = max(max(index for index, value in enumerate(row, 1) if value) for row in kept)
    head, *rest = [(row + [""] * width)[:width] for row in kept]
    lines = [head, ["---"] * width, *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
