"""Asks one deployment a small question before anybody relies on it: the dashboard's Test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from files.resolve import Resolved
from portal.gateway.calls import NO_FILES, answered, to_chat_call, to_request
from portal.gateway.streaming import Upstream
from portal.services.catalog import DeploymentPlan
from providers.errors import (
    InvalidRequest,
    PorticoError,
    RateLimited,
    UnsupportedFile,
    UpstreamInvalid,
    UpstreamQuotaFull,
    UpstreamRefusedCredentials,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from providers.http import AsyncClient
from providers.types import FileVerbs, Json, ProviderFile, Timeouts, Upload

Trial: TypeAlias = Literal["chat", "stream", "file"]

LONGEST_EXCERPT = 300
FILE_SECONDS = 30.0
POLL_SECONDS = 0.5
PATIENCE = Timeouts(connect=5.0, first_byte=60.0, idle=30.0, total=90.0)
QUESTION = "Answer with one short sentence: are you there?"
FILE_QUESTION = "Answer with one short sentence: what does the attached document say?"
REFERENCE = "file-portico-trial"

# The first class that fits decides; codes first, because they say more.
HINTS_BY_CODE = {
    "upstream_model_not_found": "The provider does not know this model, or the account may not use it.",
    "insufficient_quota": "The account at the provider has no credit left.",
    "model_misconfigured": "The account's credentials cannot be read; enter them again.",
}
HINTS: tuple[tuple[type[PorticoError], str], ...] = (
    (UpstreamRefusedCredentials, "The provider refused the key."),
    (UpstreamUnreachable, "The address could not be reached; look at the base URL and the network."),
    (UpstreamTimeout, "The provider did not answer in time."),
    (UpstreamQuotaFull, "The account's file storage at the provider is full."),
    (UpstreamInvalid, "Something answered that is not this kind of provider; look at the base URL."),
    (UpstreamUnavailable, "The provider is overloaded or down; try again in a moment."),
    (RateLimited, "The account has reached a rate limit at the provider."),
    (UnsupportedFile, "This provider does not take files of this kind."),
    (InvalidRequest, "The provider did not accept the request; look at the model's default parameters."),
)
OTHER_HINT = "The provider answered with an error."


@dataclass(frozen=True, slots=True)
class TrialResult:
    """`text`: the beginning of the answer; `error`: what went wrong; `hint`: what to look at."""

    ok: bool
    ms: int
    text: str = ""
    error: str = ""
    hint: str = ""


async def try_deployment(plan: DeploymentPlan, kind: Trial) -> TrialResult:
    """Runs the very path of a real call with exactly this plan, saved or not.

    Never raises for a failure of the deployment, and leaves nothing behind at the provider. It has
    connections of its own, since it may run in any event loop.
    """
    began = time.monotonic()
    patient = replace(plan, timeouts=PATIENCE, stream_timeouts=PATIENCE)
    try:
        async with AsyncClient() as http, asyncio.timeout(PATIENCE.total + FILE_SECONDS):
            match kind:
                case "chat":
                    text = await _chat(http, patient, QUESTION)
                case "stream":
                    text = await _stream(http, patient)
                case "file":
                    text = await _file(http, patient)
    except PorticoError as error:
        return TrialResult(False, _milliseconds(began), error=_told(error), hint=hint_for(error))
    except TimeoutError:
        late = UpstreamTimeout("The test took too long.")
        return TrialResult(False, _milliseconds(began), error=late.message, hint=hint_for(late))
    return TrialResult(True, _milliseconds(began), text=text[:LONGEST_EXCERPT])


def hint_for(error: PorticoError) -> str:
    """What an operator should look at."""
    if error.code in HINTS_BY_CODE:
        return HINTS_BY_CODE[error.code]
    return next((hint for kind, hint in HINTS if isinstance(error, kind)), OTHER_HINT)


async def _chat(http: AsyncClient, plan: DeploymentPlan, question: str, shown: Resolved = NO_FILES) -> str:
    call = to_chat_call(plan, _body(plan, question, with_file=bool(shown.files)), shown)
    return _text(await answered(http, plan, call, to_request(plan, call)))


async def _stream(http: AsyncClient, plan: DeploymentPlan) -> str:
    call = to_chat_call(plan, _body(plan, QUESTION) | {"stream": True}, NO_FILES)
    upstream = await Upstream.open(http, plan.provider, call, to_request(plan, call))
    text: list[str] = []
    try:
        while (chunks := await upstream.next()) is not None:
            for chunk in chunks:
                text += [_said(choice.get("delta")) for choice in chunk.get("choices") or ()]
    finally:
        await upstream.close()
    return "".join(text)


async def _file(http: AsyncClient, plan: DeploymentPlan) -> str:
    """Uploads a one-page document, waits until it can be used, asks about it, and removes it again."""
    verbs = plan.provider.files
    if verbs is None:
        raise UnsupportedFile(f"{plan.provider.title} has no file API.")
    source = _Bytes(_one_page("Portico can read files."))
    upload = Upload("portico-test.pdf", "application/pdf", source.size, reference=REFERENCE)
    remote = await http.run(verbs.create(plan.connection, upload), source)
    try:
        async with asyncio.timeout(FILE_SECONDS):
            while remote.state == "processing":
                await asyncio.sleep(POLL_SECONDS)
                remote = await http.run(verbs.retrieve(plan.connection, remote.id))
        if remote.state == "failed":
            raise UnsupportedFile(remote.error or "The provider could not process the file.")
        shown = ProviderFile(remote.id, remote.uri, remote.media_type or upload.media_type, upload.filename)
        return await _chat(http, plan, FILE_QUESTION, Resolved(files={REFERENCE: shown}))
    finally:
        await _remove(http, verbs, plan, remote.id)


async def _remove(http: AsyncClient, verbs: FileVerbs, plan: DeploymentPlan, file_id: str) -> None:
    try:
        await http.run(verbs.delete(plan.connection, file_id))
    except PorticoError:
        pass  # the test's own result says more than a file that the provider will let expire


def _body(plan: DeploymentPlan, question: str, with_file: bool = False) -> Json:
    parts: list[Json] = [{"type": "text", "text": question}]
    if with_file:
        parts.append({"type": "file", "file": {"file_id": REFERENCE}})
    content = parts if with_file else question
    return {"model": plan.model, "messages": [{"role": "user", "content": content}]}


def _text(answer: Json) -> str:
    return "".join(_said(choice.get("message")) for choice in answer.get("choices") or ())


def _said(holder: Json | None) -> str:
    content = (holder or {}).get("content")
    return content if isinstance(content, str) else ""


def _told(error: PorticoError) -> str:
    """The provider's own words where it gave some: whoever tests may see them."""
    return error.provider_message or error.message


def _milliseconds(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


class _Bytes:
    """A file in memory, as flows read it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        yield self._data[offset : offset + length]


def _one_page(text: str) -> bytes:
    """A PDF with one line of text."""
    drawn = f"BT /F1 24 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources 6 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Font << /F1 5 0 R >> >>",
    )
    pdf, places = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, 1):
        places.append(len(pdf))
        pdf += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(pdf)
    pdf += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    pdf += b"".join(b"%010d 00000 n \n" % place for place in places)
    pdf += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(pdf)
