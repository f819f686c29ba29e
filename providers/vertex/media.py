"""Which media types Vertex reads, what other types are sent as, and how a file of a size is shown to it.

https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/document-understanding
https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/video-understanding
"""

from __future__ import annotations

from providers import media as types
from providers.gemini import media as gemini
from providers.types import Delivery
from providers.vertex import bucket, spec

# Of documents it reads PDF and plain text alone.
ACCEPTED = gemini.IMAGES | gemini.AUDIO | gemini.VIDEO | {"application/pdf", "text/plain"}
FETCHED = gemini.FETCHED & ACCEPTED
YOUTUBE_TYPE = "video/mp4"
"""Vertex wants a media type with every address, YouTube's included."""


def normal_type(media_type: str | None, filename: str | None = None) -> str | None:
    """The type under which Vertex takes such a file; None when it does not take it. Text of any kind
    becomes text/plain."""
    normal = gemini.normal_type(media_type, filename)
    if normal in ACCEPTED:
        return normal
    if normal is not None and types.is_text(normal):
        return "text/plain"
    if not media_type and filename and not filename.startswith("gs://") and gemini.takes_url("", filename):
        return YOUTUBE_TYPE
    return None


def fetches(model: str, media_type: str, size: int) -> bool:
    """As the Gemini API, but of documents, pictures and films that are small."""
    is_small = size <= spec.MAX_FETCHED_BYTES
    return is_small and normal_type(media_type) in FETCHED and gemini.fetches(model, media_type, size)


def takes_url(part_type: str, url: str) -> bool:
    """Google resolves YouTube and `gs://` addresses itself; copies that we made are reached by id only."""
    return gemini.takes_url(part_type, url) and not bucket.is_ours(url)


def upload_type(media_type: str, filename: str, purpose: str = "user_data") -> str:
    """The content type of a copy. What Vertex cannot read keeps its own name."""
    if purpose == "batch":
        return "application/jsonl"
    return normal_type(media_type, filename) or types.normalize(media_type) or types.OCTETS


def delivery(media_type: str, size: int) -> Delivery:
    """How a chat shows such a file to Vertex when no copy of it exists there yet."""
    normal = normal_type(media_type)
    if normal is None and types.is_office(types.normalize(media_type), size):
        return "convert"
    if normal is None or size > spec.MAX_FILE_BYTES:
        return "unsupported"
    if normal == "application/pdf" and size > spec.MAX_PDF_BYTES:
        return "unsupported"
    is_narrow = normal == "application/pdf" or normal in gemini.IMAGES
    limit = spec.MAX_INLINE_IMAGE_BYTES if is_narrow else spec.MAX_INLINE_BYTES
    return "inline" if size <= limit else "copy"
