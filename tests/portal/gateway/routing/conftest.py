"""Each test begins with nothing seen of any deployment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portal.gateway import routing


@pytest.fixture(autouse=True)
def _nothing_seen() -> Iterator[None]:
    routing.clear()
    yield
    routing.clear()
