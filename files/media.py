"""What a file is, told from its first bytes: see providers.sniff, which both packages use."""

from __future__ import annotations

from providers.sniff import HEAD_BYTES, looks_like_text, sniff

__all__ = ["HEAD_BYTES", "looks_like_text", "sniff"]
