"""Whatever is sent, the answer is a refusal in the one shape: never a 500."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.services import accounts, models, usage
from portal.services.audit import Actor
from tests.fakes.server import FakeServers

pytestmark = pytest.mark.django_db(transaction=True)
CHAT = "/v1/chat/completions"
HELLO = {"model": "gpt", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(autouse=True)
def _own_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "ledger", usage.Ledger())


def with_part(part: str) -> bytes:
    """A chat whose one message has this content part."""
    return f'{{"model": "gpt", "messages": [{{"role": "user", "content": [{part}]}}]}}'.encode()


def is_refusal(answer: httpx.Response) -> bool:
    error = answer.json()["error"]
    shape = {"message", "type", "param", "code"} <= set(error) and "x-request-id" in answer.headers
    return 400 <= answer.status_code < 500 and shape and "Traceback" not in answer.text


@pytest.fixture(scope="module")
def fakes() -> Iterator[FakeServers]:
    with FakeServers() as running:
        yield running


@pytest.fixture
def served(client: httpx.Client, fakes: FakeServers, actor: Actor) -> httpx.Client:
    """`gpt` and `gemini` answer, by the fakes."""
    fakes.reset()
    for name, provider, address, key, served in (
        ("gpt", "openai", fakes.openai_url, "sk-fake-blue-0123456789abcdef", "gpt-4.1-mini"),
        ("gemini", "gemini", fakes.gemini_url, "AIza-blue-0123456789abcdef", "gemini-2.5-flash"),
    ):
        account = accounts.create_account(
            actor=actor, name=name, provider=provider, api_base=address, secrets={"api_key": key}
        )
        models.create_deployment(actor=actor, model_name=name, account=account, provider_model=served)
    return client


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[" * 10_000_000,
        b"null",
        b"[]",
        b'"x"',
        b'{"model": "gpt", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
        b'{"model": "gpt", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "gpt", "messages": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"model": "gpt"}',
        b'{"messages": []}',
        b'{"model": null, "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": ["gpt"], "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "gpt\\u0000", "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "gpt", "messages": "x"}',
        b'{"model": "gpt", "messages": [null]}',
        with_part('{"type": "file", "file": "x"}'),
        with_part('{"type": "file", "file": {"file_id": 1}}'),
        with_part('{"type": "image_url", "image_url": 1}'),
        '{"model": "gpt", "messages": []}'.encode("utf-16"),
        b"\xff\xfe\x00",
        b"--xyz\r\n",
        b'{"model": "no-such-model", "messages": [{"role": "user", "content": "x"}]}',
    ],
)
def test_bodies_that_are_no_chat_request_are_refused(served: httpx.Client, body: bytes) -> None:
    answer = served.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert is_refusal(answer), answer.text


def test_unknown_and_foreign_files_in_a_chat_are_the_same_404(
    served: httpx.Client, rival_client: httpx.Client
) -> None:
    form = {"files": {"file": ("a.pdf", b"%PDF-1.4")}, "data": {"purpose": "user_data"}}
    foreign = rival_client.post("/v1/files", **form).json()["id"]  # type: ignore[arg-type]
    answers = []
    for file_id in (foreign, "file-000000000000000000000000"):
        part = {"type": "file", "file": {"file_id": file_id}}
        answer = served.post(CHAT, json={"model": "gpt", "messages": [{"role": "user", "content": [part]}]})
        assert is_refusal(answer)
        assert answer.status_code == 404
        answers.append(answer.text.replace(file_id, ""))
    assert answers[0] == answers[1]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
FIELDS = (
    "model",
    "messages",
    "temperature",
    "top_p",
    "n",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    "user",
    "presence_penalty",
    "logit_bias",
    "seed",
    "tools",
    "tool_choice",
    "response_format",
    "stream_options",
    "logprobs",
    "top_logprobs",
    "metadata",
    "reasoning_effort",
    "extra_body",
    "modalities",
    "audio",
    "safety_settings",
    "thinking",
    "functions",
    "drop_params",
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool"]) | json_values},
        optional={
            "content": json_values,
            "tool_calls": json_values,
            "tool_call_id": json_values,
            "name": json_values,
        },
    ),
    max_size=3,
)


@given(
    model=st.sampled_from(["gpt", "gemini"]),
    changed=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4),
    said=st.none() | messages,
)
@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_wrong_types_anywhere_in_a_chat_are_never_our_failure(
    served: httpx.Client, model: str, changed: dict[str, Any], said: list[Any] | None
) -> None:
    body = HELLO | {"model": model} | changed | ({"messages": said} if said is not None else {})
    try:
        text = json.dumps(body).encode()
        text.decode()
    except UnicodeError:
        return
    answer = served.post(CHAT, content=text)
    assert answer.status_code == 200 or is_refusal(answer), (body, answer.text)


@given(
    noise=st.binary(max_size=300),
    kind=st.sampled_from(["multipart/form-data; boundary=xyz", "text/plain", ""]),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_for_a_form_is_never_our_failure(client: httpx.Client, noise: bytes, kind: str) -> None:
    for body in (noise, b"--xyz\r\n" + noise + b"\r\n--xyz--\r\n"):
        assert is_refusal(client.post("/v1/files", content=body, headers={"content-type": kind}))


@given(
    query=st.dictionaries(
        st.sampled_from(["limit", "after", "order", "purpose", "x"]) | st.text(max_size=5),
        st.text(max_size=20),
        max_size=4,
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_odd_questions_are_never_our_failure(client: httpx.Client, query: dict[str, str]) -> None:
    answer = client.get("/v1/files", params=query)
    assert answer.status_code == 200 or is_refusal(answer)
