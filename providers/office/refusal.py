"""Why a file could not be turned into text."""

from __future__ import annotations


class Refused(Exception):
    """`why` completes the sentence "The file cannot be read: …". `code` is OpenAI-style, for programs."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(code, why)
        self.code = code
        self.why = why
