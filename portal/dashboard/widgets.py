"""Parts of a page that stand alone: one that cannot be loaded says so and takes nothing else with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import DatabaseError

from portal.crypto import CannotOpen
from providers.errors import PorticoError

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Widget(Generic[T]):
    value: T | None
    is_broken: bool = False


def load(find: Callable[[], T]) -> Widget[T]:
    try:
        return Widget(find())
    except (DatabaseError, PorticoError, CannotOpen) as error:
        logger.warning("a part of a page could not be loaded: %s", type(error).__name__)
        return Widget(None, is_broken=True)
