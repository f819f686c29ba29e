"""What several services check of what they are given; every refusal is an InvalidRequest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils import timezone

from providers.errors import InvalidRequest

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}")
MAX_NAMES = 1000
MAX_JSON_BYTES = 64 * 1024


def name(value: object, *, param: str = "name", limit: int = 200) -> str:
    """A display name on one line."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(f"`{param}` must not be empty.", param=param)
    value = value.strip()
    if len(value) > limit:
        raise InvalidRequest(f"`{param}` must have at most {limit} characters.", param=param)
    if not value.isprintable():
        raise InvalidRequest(f"`{param}` must not hold control characters.", param=param)
    return value


def text(value: object, *, param: str, limit: int) -> str:
    """A line that may be empty."""
    if value is None or value == "":
        return ""
    return name(value, param=param, limit=limit)


def identifier(value: object, *, param: str) -> str:
    if not isinstance(value, str) or not IDENTIFIER.fullmatch(value):
        raise InvalidRequest(
            f"`{param}` must have 1 to 64 letters, digits, dots, colons, dashes or underscores.", param=param
        )
    return value


def model_names(values: object, *, param: str = "models") -> list[str]:
    """Names and patterns of models: in the order given, each once."""
    if values is None:
        return []
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)) or len(values) > MAX_NAMES:
        raise InvalidRequest(f"`{param}` must be a list of at most {MAX_NAMES} model names.", param=param)
    return list(dict.fromkeys(name(value, param=param) for value in values))


def amount(value: object) -> Decimal | None:
    """A number, also from text, because YAML reads 1e-7 as text; None for none, NaN for what is no number."""
    if value is None or value == "":
        return None
    try:
        return Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
    except InvalidOperation:
        return Decimal("NaN")


def json_object(value: Mapping[str, Any] | None, *, param: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"`{param}` must be an object.", param=param)
    try:
        written = orjson.dumps(dict(value))
    except TypeError:
        raise InvalidRequest(f"`{param}` cannot be written as JSON.", param=param) from None
    if rb"\u0000" in written:
        raise InvalidRequest(f"`{param}` must not hold the character U+0000.", param=param)
    if len(written) > MAX_JSON_BYTES:
        raise InvalidRequest(f"`{param}` must take at most {MAX_JSON_BYTES // 1024} KB.", param=param)
    plain: dict[str, Any] = orjson.loads(written)
    return plain


def expiry(value: datetime | None, *, param: str = "expires_at") -> datetime | None:
    """A moment in the future, or None for never."""
    if value is None:
        return None
    if not isinstance(value, datetime) or timezone.is_naive(value):
        raise InvalidRequest(f"`{param}` must be a moment with its time zone.", param=param)
    if value <= timezone.now():
        raise InvalidRequest(f"`{param}` must lie in the future.", param=param)
    return value


def email(value: object, *, param: str = "email") -> str:
    """An e-mail address in lower case."""
    address = value.strip().lower() if isinstance(value, str) else ""
    try:
        validate_email(address)
    except ValidationError:
        raise InvalidRequest("Enter a valid e-mail address.", param=param) from None
    return address
