"""What Google and OpenAI took in recorded traffic, the fakes take as well."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gemini import config, contents, shapes
from tests.fakes.gemini import errors as gemini_errors
from tests.fakes.gemini.models import model_for
from tests.fakes.openai import errors as openai_errors
from tests.fakes.openai import messages, params
from tests.fakes.openai.bodies import only_known
from tests.fakes.openai.models import require_chat_model
from tests.fakes.openai.state import OpenAIFake
from tests.fakes.vertex.shapes import VERTEX_SHAPES

FOLDER = os.environ.get("RECORDED_TRAFFIC", "")
GENERATE = re.compile(r"/(v1\w*)/models/([^:]+):(generateContent|streamGenerateContent)")

PUBLISHED = re.compile(r"/publishers/google/models/([^:/]+):(generateContent|streamGenerateContent)")

pytestmark = pytest.mark.skipif(not FOLDER, reason="RECORDED_TRAFFIC names no folder with recorded exchanges")


def accepted(name: str) -> Iterator[dict[str, Any]]:
    """Exchanges seen on the wire that ended well."""
    with gzip.open(Path(FOLDER) / name, "rt") as lines:
        for line in lines:
            record = json.loads(line)
            on_wire = str(record["fidelity"]).startswith("http")
            if record["status"] == 200 and on_wire and isinstance(record["request_body"], dict):
                yield record


def test_the_gemini_fake_takes_what_google_took():
    """The rest are empty texts and oddly placed responses, which the fake refuses on purpose."""
    taken, refused = 0, []
    for record in accepted("google-azure-files.jsonl.gz"):
        found = GENERATE.search(record["url"])
        if record["provider"] != "gemini" or found is None:
            continue
        try:
            body = shapes.checked(record["request_body"], "GenerateContentRequest")
            model = model_for(found[2], found[1], found[3])
            contents.check_contents(
                model, body.get("contents") or [], check_signatures=False, require_call_ids=False
            )
            config.check_tools(model, body.get("tools") or [], body.get("toolConfig") or {})
            config.check_config(model, body.get("generationConfig") or {}, body.get("tools") or [])
            config.check_safety(body.get("safetySettings") or [])
            taken += 1
        except gemini_errors.GeminiError as error:
            refused.append(f"{record['id']}: {error.message}")
    assert taken > 0
    assert len(refused) <= 0.05 * (taken + len(refused)), "\n".join(refused)


def test_the_vertex_fake_takes_what_google_took():
    """The rest are tuned models, caches of the recorder's own, and texts that are empty."""
    taken, refused = 0, []
    for record in accepted("google-azure-files.jsonl.gz"):
        found = PUBLISHED.search(record["url"])
        if record["provider"] != "vertex" or found is None:
            continue
        try:
            body = shapes.checked(record["request_body"], "GenerateContentRequest", VERTEX_SHAPES)
            model = model_for(found[1].partition("@")[0], "v1", found[2])
            contents.check_contents(
                model, body.get("contents") or [], check_signatures=False, require_call_ids=False
            )
            config.check_tools(model, body.get("tools") or [], body.get("toolConfig") or {})
            config.check_config(model, body.get("generationConfig") or {}, body.get("tools") or [])
            config.check_safety(body.get("safetySettings") or [])
            taken += 1
        except gemini_errors.GeminiError as error:
            refused.append(f"{record['id']}: {error.message}")
    assert taken > 0
    assert len(refused) <= 0.05 * (taken + len(refused)), "\n".join(refused)


def test_the_openai_fake_takes_what_openai_took():
    taken, refused = 0, []
    fake = OpenAIFake()
    for record in accepted("openai-chat.jsonl.gz"):
        if not record["url"].split("?")[0].endswith("api.openai.com/v1/chat/completions"):
            continue
        body = {name: value for name, value in record["request_body"].items() if value is not None}
        try:
            only_known(body, params.PARAMETERS)
            params.check_params(require_chat_model(body.get("model")), body)
            messages.read_messages(fake, "alpha", body.get("messages"))
            params.check_tools(body)
            params.check_response_format(body)
            taken += 1
        except openai_errors.OpenAIError as error:
            refused.append(f"{record['id']}: {error.message}")
    assert taken > 0
    assert len(refused) <= 0.02 * (taken + len(refused)), "\n".join(refused)
