"""The OpenAI API on loopback: files, uploads, chat, embeddings."""

from __future__ import annotations

from tests.fakes.openai.application import openai_application

__all__ = ["openai_application"]
