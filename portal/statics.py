"""Static files under hashed names, module imports inside our scripts included."""

from __future__ import annotations

from servestatic.storage import CompressedManifestStaticFilesStorage


class HashedFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # untyped library
    support_js_module_import_aggregation = True
