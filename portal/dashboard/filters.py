"""What the filters of lists have in common: how words of an address are read."""

from __future__ import annotations

from django.http import QueryDict

LONGEST_TEXT = 200
LONGEST_NUMBER = 18


def word(query: QueryDict, name: str) -> str:
    """What was asked for, in a form that every database takes; "" for nothing."""
    return query.get(name, "").strip().replace("\0", "")[:LONGEST_TEXT]


def is_number(text: str) -> bool:
    """Can it be the number of a row?"""
    return text.isdecimal() and len(text) <= LONGEST_NUMBER
