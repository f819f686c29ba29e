"""Speaks to model providers: OpenAI requests out, OpenAI answers back. Knows nothing of Django.

The functions below work without a server; they are imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from providers.client import (
        acompletion,
        acreate_file,
        adelete_file,
        aembedding,
        afile_content,
        afile_delete,
        afile_list,
        afile_retrieve,
        alist_files,
        aretrieve_file,
        completion,
        create_file,
        delete_file,
        embedding,
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

_ERRORS = frozenset({"JSONSchemaValidationError", "PorticoError"})


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("providers.errors" if name in _ERRORS else "providers.client"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
