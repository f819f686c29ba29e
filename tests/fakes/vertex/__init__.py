"""Google Cloud on loopback: Vertex AI's Gemini, Cloud Storage, and the token endpoints before them."""

from __future__ import annotations

from tests.fakes.vertex.application import vertex_application

__all__ = ["vertex_application"]
