"""Which media a request shows the model, checked as Gemini checks it (https://ai.google.dev/gemini-api/docs/file-input-methods)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.answers import Media, media_of
from tests.fakes.gemini.errors import GeminiError, invalid
from tests.fakes.gemini.models import Model
from tests.fakes.gemini.shapes import decoded
from tests.fakes.gemini.state import GeminiFake

FILE_PATH = re.compile(r"/(?:v1|v1beta|v1alpha)/files/([^/?#]+)")
YOUTUBE = frozenset({"www.youtube.com", "youtube.com", "youtu.be"})


def _types(top: str, names: str) -> set[str]:
    return {f"{top}/{name}" for name in names.split()}


ACCEPTED = frozenset(
    _types("image", "png jpeg webp heic heif avif gif bmp")
    | _types("audio", "wav mp3 mpeg aiff aac ogg flac m4a mp4 opus pcm webm")
    | _types("video", "mp4 mpeg mov quicktime avi x-flv mpg webm wmv 3gpp")
    | _types("text", "plain html css javascript csv markdown xml rtf x-python x-typescript typescript")
    | _types("application", "pdf x-javascript x-typescript json x-ipynb+json rtf")
)
ACCEPTED_BY_URL = frozenset(
    _types("text", "html css plain xml csv rtf javascript")
    | _types("application", "json pdf")
    | _types("image", "bmp jpeg png webp")
    | _types("video", "mp4 mpeg quicktime avi x-flv mpg webm wmv 3gpp")
)


def media_in(fake: GeminiFake, project: str, model: Model, contents: list[dict[str, Any]]) -> list[Media]:
    """Every media part in order of appearance; refuses what Gemini would refuse."""
    found: list[Media] = []
    for turn_number, turn in enumerate(contents):
        for number, part in enumerate(turn.get("parts") or []):
            place = f"contents[{turn_number}].parts[{number}]"
            found += _of_part(fake, project, model, part, place)
            answers = (part.get("functionResponse") or {}).get("parts") or []
            for inner, item in enumerate(answers):
                inner_place = f"{place}.function_response.parts[{inner}]"
                found += _of_part(fake, project, model, item, inner_place)
    return found


def _of_part(fake: GeminiFake, project: str, model: Model, part: dict[str, Any], place: str) -> list[Media]:
    if "inlineData" in part:
        return [_inline(fake, part["inlineData"], f"{place}.inline_data")]
    if "fileData" in part:
        return [_by_uri(fake, project, model, part["fileData"], f"{place}.file_data")]
    return []


def _inline(fake: GeminiFake, blob: dict[str, Any], place: str) -> Media:
    media_type = _accepted(blob.get("mimeType", ""), place)
    data = decoded(blob.get("data", ""))
    if not data:
        raise invalid(f"Unable to process input: {place}.data is empty.", field=f"{place}.data")
    if media_type == "application/pdf" and len(data) > int(fake.settings["inline_pdf_bytes"]):
        raise invalid("The document is too large.", field=f"{place}.data")
    if media_type == "application/pdf" and b"%PDF" not in data[:1024]:
        raise invalid("The document has no pages.", field=f"{place}.data")
    return media_of(media_type, data)


def _by_uri(fake: GeminiFake, project: str, model: Model, data: dict[str, Any], place: str) -> Media:
    uri, media_type = data.get("fileUri", ""), data.get("mimeType", "")
    address = urlsplit(uri)
    stored = FILE_PATH.fullmatch(address.path)
    if stored and (address.hostname in ("generativelanguage.googleapis.com", "127.0.0.1", "localhost")):
        return _stored(fake, project, stored[1], media_type, place)
    if address.scheme != "https" or not address.hostname:
        raise invalid(f"Unsupported file uri: {uri}", field=f"{place}.file_uri")
    if address.hostname in YOUTUBE:
        return Media(media_type or "video/mp4", url=uri)
    if model.generation < (2, 5):
        raise invalid(f"Unsupported file uri: {uri}", field=f"{place}.file_uri")
    if media_type not in ACCEPTED_BY_URL:
        raise invalid(f"Unsupported MIME type: {media_type}", field=f"{place}.mime_type")
    return Media(media_type, url=uri)


def _stored(fake: GeminiFake, project: str, file_id: str, media_type: str, place: str) -> Media:
    file = fake.find(project, file_id)
    if not media_type:
        raise invalid("mime_type is missing.", field=f"{place}.mime_type")
    if media_type != file.media_type:
        raise invalid(
            f"The mime_type {media_type} is not that of the file ({file.media_type}).",
            field=f"{place}.mime_type",
        )
    _accepted(media_type, place)
    if file.state(fake.clock.now()) != "ACTIVE":
        raise GeminiError(
            400,
            f"The File {file_id} is not in an ACTIVE state and usage is not allowed.",
            status="FAILED_PRECONDITION",
        )
    return Media(file.media_type, file.size, file.sha256, pages=file.pages)


def _accepted(media_type: str, place: str) -> str:
    if media_type not in ACCEPTED:
        raise invalid(f"Unsupported MIME type: {media_type}", field=f"{place}.mime_type")
    return media_type
