"""Azure OpenAI on loopback: chat by deployments and files, under /openai/v1 and under dated versions."""

from __future__ import annotations

from tests.fakes.azure_openai.application import azure_application

__all__ = ["azure_application"]
