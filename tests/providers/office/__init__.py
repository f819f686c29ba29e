"""Office files as other programs wrote them: python-docx, python-pptx, openpyxl and odfpy."""

from __future__ import annotations

from pathlib import Path

SAMPLES = Path(__file__).parent / "samples"


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()
