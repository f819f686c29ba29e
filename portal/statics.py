"""Static files under hashed names, module imports inside our scripts included."""

from __future__ import annotations

from servestatic.storage import CompressedManifestStaticFilesStorage


class HashedFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # untyped library
    """Imports are followed in our own scripts only: packaged ones name modules that do not exist."""

    support_js_module_import_aggregation = True
    _js_module_import_aggregation_patterns = (
        "portal/*.js",
        CompressedManifestStaticFilesStorage._js_module_import_aggregation_patterns[1],
    )
