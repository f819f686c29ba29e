"""Speaks to model providers: OpenAI requests out, OpenAI answers back. Knows nothing of Django.

The functions below work without a server; they are imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from providers.client.chat import acompletion, completion
    from providers.client.embeddings import aembedding, embedding
    from providers.client.files import (
        acreate_file,
        adelete_file,
        afile_content,
        afile_delete,
        afile_list,
        afile_retrieve,
        alist_files,
        aretrieve_file,
        create_file,
        delete_file,
        file_content,
        file_delete,
        file_list,
        file_retrieve,
        list_files,
        retrieve_file,
    )
    from providers.errors import JSONSchemaValidationError, PorticoError

__all__ = [
    "JSONSchemaValidationError",
    "PorticoError",
    "acompletion",
    "acreate_file",
    "adelete_file",
    "aembedding",
    "afile_content",
    "afile_delete",
    "afile_list",
    "afile_retrieve",
    "alist_files",
    "aretrieve_file",
    "completion",
    "create_file",
    "delete_file",
    "embedding",
    "file_content",
    "file_delete",
    "file_list",
    "file_retrieve",
    "list_files",
    "retrieve_file",
]

_PLACES = ("errors", "client.chat", "client.embeddings", "client.files")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for place in _PLACES:
            module = import_module(f"{__name__}.{place}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
