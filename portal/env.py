"""Typed readers of the process environment. Any secret NAME may instead be given as NAME_FILE."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from providers.errors import ServiceError

PREFIX = "os.environ/"


class BadEnvironment(ServiceError):
    """A variable has a value that cannot be used; the message names the variable, never a secret value."""

    code = "bad_environment"


def text(name: str, default: str = "") -> str:
    """The value without surrounding white space; an empty one counts as absent."""
    return os.environ.get(name, "").strip() or default


def flag(name: str, default: bool = False) -> bool:
    value = text(name).lower()
    if not value:
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise BadEnvironment(f"{name} must be true or false, not {value!r}")


def integer(name: str, default: int, minimum: int = 0) -> int:
    value = text(name)
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        raise BadEnvironment(f"{name} must be a whole number, not {value!r}") from None
    if number < minimum:
        raise BadEnvironment(f"{name} must be at least {minimum}, not {number}")
    return number


def choice(name: str, options: Collection[str], default: str) -> str:
    value = text(name, default)
    if value not in options:
        raise BadEnvironment(f"{name} must be one of {', '.join(sorted(options))}, not {value!r}")
    return value


def items(name: str) -> list[str]:
    """A comma-separated list."""
    return [item.strip() for item in text(name).split(",") if item.strip()]


def secret(name: str) -> str | None:
    """NAME, or the first line of the file that NAME_FILE names."""
    if value := text(name):
        return value
    if not (path := text(f"{name}_FILE")):
        return None
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BadEnvironment(f"{name}_FILE cannot be read: {error.strerror}") from None
    if not lines or not lines[0].strip():
        raise BadEnvironment(f"{name}_FILE is empty")
    return lines[0].strip()


def is_reference(value: object) -> bool:
    """Does a configured value mean "read that environment variable"?"""
    return isinstance(value, str) and value.startswith(PREFIX)


def resolve(value: str) -> str | None:
    """What a configured value stands for: `os.environ/NAME` is read now, anything else is itself."""
    return secret(value.removeprefix(PREFIX)) if is_reference(value) else value
