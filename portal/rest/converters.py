"""Words of API paths."""

from __future__ import annotations

from django.urls.converters import StringConverter


class IdConverter(StringConverter):
    """An id or a model's name, slashes within it included: what is not ours gets a 404 in our own shape."""

    regex = r".*[^/]"
