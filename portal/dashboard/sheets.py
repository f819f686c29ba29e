"""Answers as CSV, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from django.http import HttpResponse

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins like this would be run by the spreadsheet that opens it."""


def answer(filename: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> HttpResponse:
    written = io.StringIO()
    sheet = csv.writer(written)
    sheet.writerow(header)
    for row in rows:
        sheet.writerow([_cell(value) for value in row])
    response = HttpResponse(written.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
