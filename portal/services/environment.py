"""The `environment_variables` of config files: sealed in the database, exported into every process."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Mapping

from django.conf import settings

from portal import env
from portal.crypto import CannotOpen
from portal.models import Settings

PLACE = "portal_settings:1:environment"

logger = logging.getLogger(__name__)
_replaced: dict[str, str | None] = {}
"""What this process had before, by the names now exported."""
_lock = threading.Lock()


def written_environment(row: Settings) -> dict[str, str]:
    """The variables as the file gave them, references unresolved. Raises CannotOpen."""
    if not row.sealed_environment:
        return {}
    variables: dict[str, str] = json.loads(settings.ENCRYPTION_KEYS.open(row.sealed_environment, PLACE))
    return variables


def seal_environment(variables: Mapping[str, str]) -> str:
    """What Settings.sealed_environment holds of them."""
    return settings.ENCRYPTION_KEYS.seal(json.dumps(dict(variables)), PLACE) if variables else ""


def apply_environment(row: Settings) -> None:
    """Exports the variables into this process and takes back those that are no longer configured.

    As in LiteLLM, the config file's value replaces one that the process was started with.
    """
    try:
        wanted = written_environment(row)
    except CannotOpen as error:
        logger.warning("environment_variables are not exported: %s", error)
        return
    with _lock:  # a worker's threads come here together
        for name in _replaced.keys() - wanted.keys():
            _put(name, _replaced.pop(name))
        for name, value in wanted.items():
            if name not in _replaced:
                _replaced[name] = os.environ.get(name)
            _put(name, _value(name, value))


def _value(name: str, written: str) -> str | None:
    """`NAME: os.environ/NAME` means the process's own value, which ours would hide."""
    if written == env.PREFIX + name:
        return _replaced[name]
    return env.resolve(written)


def _put(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    elif os.environ.get(name) != value:
        os.environ[name] = value
