"""Strict loopback fakes of providers: `from tests.fakes.server import FakeServers`."""

from __future__ import annotations
