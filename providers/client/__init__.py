"""The functions that speak to providers without a server: see `completion` and `create_file`."""

from __future__ import annotations

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

__all__ = [
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
