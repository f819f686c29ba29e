"""Chat and embeddings by deployment, with what the content filter found.

https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.fakes.answers import directives
from tests.fakes.azure_openai.state import AzureError, fake_of
from tests.fakes.azure_openai.versions import check_version
from tests.fakes.openai import errors
from tests.fakes.openai.bodies import read_object
from tests.fakes.openai.chat import send_answer
from tests.fakes.openai.embeddings import FIELDS, send_embeddings
from tests.fakes.openai.messages import last_user_text
from tests.fakes.openai.params import PARAMETERS

CLEAN = {
    name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")
}
USAGE_SINCE = "2024-09-01"


async def complete(request: web.Request) -> web.StreamResponse:
    fake = fake_of(request)
    version = check_version(request)
    project = fake.require_project(request)
    body = await read_object(request, PARAMETERS)
    if version is not None and version < USAGE_SINCE and "stream_options" in body:
        raise errors.unknown_parameter("stream_options")
    model = model_of(request, body)
    messages = body.get("messages")
    if isinstance(messages, list) and "block" in directives(_said(messages)):
        raise _filtered()
    found = [{"prompt_index": 0, "content_filter_results": CLEAN}]
    first = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": found}
    return await send_answer(
        request,
        project,
        body,
        model,
        opening=(f"data: {json.dumps(first)}\n\n".encode(),),
        findings={"content_filter_results": CLEAN},
    )


async def embed(request: web.Request) -> web.Response:
    check_version(request)
    fake_of(request).require_project(request)
    body = await read_object(request, FIELDS)
    return send_embeddings(body, model_of(request, body))


def model_of(request: web.Request, body: dict[str, Any]) -> str:
    """The model behind the deployment. Under a dated version the path tells the deployment, and the body's
    model counts for nothing."""
    deployment = request.match_info.get("deployment") or body.get("model")
    model = fake_of(request).settings["deployments"].get(deployment)
    if model is None:
        raise AzureError(
            404,
            "DeploymentNotFound",
            "The API deployment for this resource does not exist. If you created the deployment within the "
            "last 5 minutes, please wait a moment and try again.",
        )
    return str(model)


def _said(messages: list[Any]) -> str:
    return last_user_text([message for message in messages if isinstance(message, dict)])


def _filtered() -> AzureError:
    finding = CLEAN | {"violence": {"filtered": True, "severity": "high"}}
    return AzureError(
        400,
        "content_filter",
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
        "Please modify your prompt and retry.",
        {
            "param": "prompt",
            "type": None,
            "status": 400,
            "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": finding},
        },
    )
