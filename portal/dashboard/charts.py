"""Bar charts drawn by the server: rectangles for the eye, the same figures as a table for everyone else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000.0, 100.0
GAP = 0.22
"""Share of a place that stays empty between two bars."""
LEAST_HEIGHT = 1.5
"""What is more than nothing can be seen."""


@dataclass(frozen=True, slots=True)
class Point:
    """One bar: values of its parts from the bottom up, each with the text that the table shows."""

    label: str
    values: tuple[float, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A rectangle in the units of the view box, ready to be written."""

    x: str
    y: str
    width: str
    height: str
    part: int
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    label: str
    columns: tuple[str, ...]
    points: Sequence[Point]
    pieces: Sequence[Piece]
    top: str
    ticks: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        return not self.pieces


def bars(label: str, columns: tuple[str, ...], points: Sequence[Point], *, top: str = "") -> Chart:
    """`columns` head the table: first the points, then the parts. `top` is the highest bar as text."""
    highest = max((sum(point.values) for point in points), default=0.0)
    step = WIDTH / max(len(points), 1)
    pieces: list[Piece] = []
    for number, point in enumerate(points):
        floor = HEIGHT
        title = ", ".join((point.label, *point.texts))
        for part, value in enumerate(point.values):
            if value <= 0 or highest <= 0:
                continue
            height = max(value / highest * HEIGHT, LEAST_HEIGHT)
            floor = max(floor - height, 0.0)
            pieces.append(
                Piece(
                    x=f"{(number + GAP / 2) * step:.2f}",
                    y=f"{floor:.2f}",
                    width=f"{step * (1 - GAP):.2f}",
                    height=f"{height:.2f}",
                    part=part,
                    title=title,
                )
            )
    return Chart(label, columns, points, pieces, top, _ticks(points))


def _ticks(points: Sequence[Point]) -> tuple[str, ...]:
    """First, middle and last label: enough to read the axis on a narrow screen."""
    if len(points) < 3:
        return tuple(point.label for point in points)
    return points[0].label, points[len(points) // 2].label, points[-1].label


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a waterfall, in hundredths of the whole."""

    x: str
    width: str


def spans(lengths: Sequence[float], whole: float) -> list[Span]:
    """One after the other, as attempts are; where they add up to more than the whole, they are the whole."""
    total = max(whole, sum(lengths), 1.0)
    found, begun = [], 0.0
    for length in lengths:
        found.append(Span(f"{begun / total * 100:.2f}", f"{max(length / total * 100, 0.5):.2f}"))
        begun += length
    return found
