"""The Gemini API on loopback: files, chat, embeddings, caches."""

from __future__ import annotations

from tests.fakes.gemini.application import gemini_application

__all__ = ["gemini_application"]
