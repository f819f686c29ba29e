"""Which media a request shows the model, checked as Vertex checks it.

https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/document-understanding
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tests.fakes.answers import Media, media_of
from tests.fakes.gemini.errors import GeminiError, invalid
from tests.fakes.gemini.media import YOUTUBE
from tests.fakes.gemini.shapes import decoded
from tests.fakes.vertex.state import BUCKET, VertexFake

ACCEPTED = frozenset(
    {"application/pdf", "text/plain"}
    | {f"image/{name}" for name in ("png", "jpeg", "webp", "heic", "heif")}
    | {f"audio/{name}" for name in ("mpeg", "mp3", "wav", "aac", "flac", "ogg", "m4a", "mp4", "opus", "pcm")}
    | {f"video/{name}" for name in ("mov", "quicktime", "mpeg", "mp4", "mpg", "avi", "wmv", "webm", "3gpp")}
)


def media_in(fake: VertexFake, project: str, contents: list[dict[str, Any]]) -> list[Media]:
    """Every media part in order of appearance; refuses what Vertex would refuse."""
    found: list[Media] = []
    for number, turn in enumerate(contents):
        for index, part in enumerate(turn.get("parts") or []):
            place = f"contents[{number}].parts[{index}]"
            for item in (part, *((part.get("functionResponse") or {}).get("parts") or [])):
                if "inlineData" in item:
                    found.append(_inline(fake, item["inlineData"], place))
                if "fileData" in item:
                    found.append(_by_uri(fake, project, item["fileData"], place))
    return found


def _inline(fake: VertexFake, blob: dict[str, Any], place: str) -> Media:
    media_type, data = _accepted(blob.get("mimeType", ""), place), decoded(blob.get("data", ""))
    if not data:
        raise invalid("Unable to process input: the data is empty.", field=place)
    narrow = media_type == "application/pdf" or media_type.startswith("image/")
    if narrow and len(data) > int(fake.settings["inline_image_bytes"]):
        raise invalid("The media is too large to be sent inline.", field=place)
    if media_type == "application/pdf" and b"%PDF" not in data[:1024]:
        raise invalid("The document has no pages.", field=place)
    return media_of(media_type, data)


def _by_uri(fake: VertexFake, project: str, data: dict[str, Any], place: str) -> Media:
    uri, media_type = data.get("fileUri", ""), _accepted(data.get("mimeType", ""), place)
    address = urlsplit(uri)
    if address.scheme == "gs":
        return _stored(fake, project, address.netloc, address.path[1:], media_type)
    if "/files/" in address.path and (
        address.hostname in ("generativelanguage.googleapis.com", "127.0.0.1", "localhost")
    ):
        raise invalid(f"Unsupported file uri: {uri}. The Files API is not available here.", field=place)
    if address.scheme == "https" and address.hostname:
        return Media("video/mp4" if address.hostname in YOUTUBE else media_type, url=uri)
    raise invalid(f"Unsupported file uri: {uri}", field=place)


def _stored(fake: VertexFake, project: str, bucket: str, name: str, media_type: str) -> Media:
    found = BUCKET.fullmatch(bucket)
    if not found or found[1] != project:
        raise GeminiError(
            403,
            "Permission denied while accessing input file. Learn more about providing the appropriate "
            "credentials: https://cloud.google.com/vertex-ai/docs/general/access-control#service-agents",
        )
    stored = fake.stored(bucket, name)
    if stored is None:
        raise GeminiError(404, f"The file gs://{bucket}/{name} is not found in the storage URL.")
    return Media(media_type, stored.sink.size, stored.sink.sha256, pages=stored.pages)


def _accepted(media_type: str, place: str) -> str:
    if not media_type:
        raise invalid("Unable to submit request because it must have a mimeType parameter.", field=place)
    if media_type not in ACCEPTED:
        raise invalid(
            f"Unable to submit request because it has a mimeType parameter with value {media_type}, which is "
            "not supported. Update the mimeType and try again.",
            field=place,
        )
    return media_type
