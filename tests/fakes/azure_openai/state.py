"""What the Azure fake remembers beyond OpenAI's: deployments, Entra's tokens, files that are processed.

https://learn.microsoft.com/azure/ai-foundry/openai/reference
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.fakes.control import FAKE
from tests.fakes.openai import errors, state
from tests.fakes.openai.state import OpenAIFile
from tests.fakes.store import ByteSink

KEY = re.compile(r"az-fake-([A-Za-z0-9_]+)-.+")
ASSISTANT = "assistant-"


class AzureError(Exception):
    """A refusal in Azure's envelope, which has a code and a message and often nothing else."""

    def __init__(self, status: int, code: str, message: str, more: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message, **(more or {})}}


@dataclass
class AzureFile(OpenAIFile):
    polls_left: int = 0
    fails: bool = False

    def resource(self) -> dict[str, Any]:
        done = "error" if self.fails else "processed"
        return super().resource() | {"status": "pending" if self.polls_left > 0 else done}


class AzureFake(state.OpenAIFake):
    """Any number of resources ("projects"), told by their keys."""

    def reset(self) -> None:
        super().reset()
        self.settings |= {
            # Deployment → the model behind it.
            "deployments": {name: name for name in ("gpt-5.4", "gpt-4o", "gpt-5-mini")}
            | {"docs": "gpt-5.4", "vectors": "text-embedding-3-small"},
            "processing_polls": 1,
            "failing_purposes": [],
            "token_seconds": 3600,
        }
        self.tokens: dict[str, tuple[str, float]] = {}

    def project_of(self, request: web.Request) -> str | None:
        found = KEY.fullmatch(request.headers.get("api-key", ""))
        if found:
            return found[1]
        project, expires = self.tokens.get(_token(request), (None, 0.0))
        return project if self.clock.now() < expires else None

    def require_project(self, request: web.Request) -> str:
        project = self.project_of(request)
        if project is None:
            raise AzureError(
                401,
                "401",
                "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a "
                "valid key for an active subscription and use a correct regional API endpoint for your "
                "resource.",
            )
        return project

    def grant(self, project: str) -> dict[str, Any]:
        token = f"eyJ0fake.{secrets.token_urlsafe(24)}"
        seconds = int(self.settings["token_seconds"])
        self.tokens[token] = (project, self.clock.now() + seconds)
        return {"token_type": "Bearer", "expires_in": seconds - 1, "access_token": token}

    def add(
        self, project: str, filename: str, purpose: str, sink: ByteSink, seconds: int | None
    ) -> OpenAIFile:
        made = super().add(project, filename, purpose, sink, seconds)
        file_id = made.file_id
        if purpose == "assistants":
            file_id = ASSISTANT + file_id.removeprefix("file-")
        file = AzureFile(
            **vars(made) | {"file_id": file_id},
            polls_left=int(self.settings["processing_polls"]),
            fails=purpose in self.settings["failing_purposes"],
        )
        del self._files[made.file_id]
        self._files[file_id] = file
        return file

    def find(self, project: str, file_id: str, *, status: int = 404, param: str = "id") -> OpenAIFile:
        """A file that a chat refers to (status 400) must have been processed."""
        file = super().find(project, file_id, status=status, param=param)
        if status == 400 and file.resource()["status"] != "processed":
            raise errors.invalid(f"The file {file_id} is not processed yet.", param)
        return file


def _token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def fake_of(request: web.Request) -> AzureFake:
    fake = request.app[FAKE]
    assert isinstance(fake, AzureFake)
    return fake
