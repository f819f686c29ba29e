"""Speaks to model providers: OpenAI requests out, OpenAI answers back. Knows nothing of Django."""

from __future__ import annotations
