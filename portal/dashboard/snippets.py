"""Copyable examples that already hold this instance's address, the model's name and the file's id."""

from __future__ import annotations

import json

from django.conf import settings
from django.http import HttpRequest

PLACEHOLDER_KEY = "sk-your-key"
PLACEHOLDER_MODEL = "gemini-2.5-flash"
QUESTION = "Summarise this file."


def base_url(request: HttpRequest) -> str:
    """Where programs reach the API: the address the operator announced, or the one this page came from."""
    return f"{(settings.PUBLIC_URL or request.build_absolute_uri('/')).rstrip('/')}/v1"


def chat_curl(base: str, key: str, model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}]}
    return "\n".join(
        (
            f"curl {base}/chat/completions \\",
            f'  -H "Authorization: Bearer {key}" \\',
            '  -H "Content-Type: application/json" \\',
            f"  -d '{json.dumps(body)}'",
        )
    )


def chat_openai(base: str, key: str, model: str) -> str:
    return "\n".join(
        (
            "from openai import OpenAI",
            "",
            f'client = OpenAI(base_url="{base}", api_key="{key}")',
            "answer = client.chat.completions.create(",
            f"    model={json.dumps(model)},",
            '    messages=[{"role": "user", "content": "Hello!"}],',
            ")",
            "print(answer.choices[0].message.content)",
        )
    )


def upload_curl(base: str, key: str = PLACEHOLDER_KEY) -> str:
    return "\n".join(
        (
            f"curl {base}/files \\",
            f'  -H "Authorization: Bearer {key}" \\',
            "  -F purpose=user_data \\",
            "  -F file=@report.pdf",
        )
    )


def file_curl(base: str, model: str, file_id: str) -> str:
    parts = [{"type": "text", "text": QUESTION}, {"type": "file", "file": {"file_id": file_id}}]
    body = {"model": model, "messages": [{"role": "user", "content": parts}]}
    return "\n".join(
        (
            f"curl {base}/chat/completions \\",
            f'  -H "Authorization: Bearer {PLACEHOLDER_KEY}" \\',
            '  -H "Content-Type: application/json" \\',
            f"  -d '{json.dumps(body)}'",
        )
    )


def file_openai(base: str, model: str, file_id: str) -> str:
    return "\n".join(
        (
            "from openai import OpenAI",
            "",
            f'client = OpenAI(base_url="{base}", api_key="{PLACEHOLDER_KEY}")',
            "answer = client.chat.completions.create(",
            f"    model={json.dumps(model)},",
            "    messages=[{",
            '        "role": "user",',
            '        "content": [',
            f'            {{"type": "text", "text": "{QUESTION}"}},',
            f'            {{"type": "file", "file": {{"file_id": "{file_id}"}}}},',
            "        ],",
            "    }],",
            ")",
            "print(answer.choices[0].message.content)",
        )
    )


def file_gemini(base: str, model: str, file_id: str) -> str:
    """Google's own client; `base` is that of OpenAI's."""
    address = base.removesuffix("/v1")
    return "\n".join(
        (
            "from google import genai",
            "",
            "client = genai.Client(",
            f'    api_key="{PLACEHOLDER_KEY}", http_options={{"base_url": "{address}/gemini"}}',
            ")",
            f'file = client.files.get(name="files/{file_id}")',
            "answer = client.models.generate_content(",
            f'    model={json.dumps(model)}, contents=["{QUESTION}", file]',
            ")",
            "print(answer.text)",
        )
    )
