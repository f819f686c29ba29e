"""Databases that have been through all migrations, made once and copied: making one takes seconds."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "migrated"
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")
DATABASE = "portico.sqlite3"
"""In a data directory."""


def copy_sqlite(to: Path) -> None:
    """Who opens it still runs `migrate`, which finds that all is done."""
    with _kept("sqlite3", _make_sqlite) as made:
        shutil.copyfile(made, to)


def copy_postgres(to: Path, make: Callable[[Path], None]) -> None:
    """A stopped server's folder; `make` fills an empty one."""
    with _kept("postgres", make) as made:
        # It belongs to the user that the server runs as.
        subprocess.run(["cp", "--archive", "--reflink=auto", str(made), str(to)], check=True)


def migrate(environment: Mapping[str, str]) -> None:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env={**inherited, **environment}, check=True)


def _make_sqlite(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        migrate({"PORTICO_DATA_DIR": folder})
        # Into one file, without a journal beside it.
        with closing(sqlite3.connect(Path(folder) / DATABASE)) as database:
            database.execute("VACUUM INTO ?", (str(path),))


@contextmanager
def _kept(kind: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """The one for the migrations as they are now. Nobody else makes or removes one meanwhile."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = FOLDER / f"{_digest()}.{kind}"
    with (FOLDER / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            for old in FOLDER.glob(f"*.{kind}"):
                _remove(old)
            unfinished = kept.with_suffix(f".{kind}.new")
            _remove(unfinished)
            make(unfinished)
            unfinished.rename(kept)
        yield kept


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _digest() -> str:
    """Changes with every migration, of ours or of a package."""
    digest = hashlib.sha256((ROOT / "requirements.lock").read_bytes())
    for path in sorted(ROOT.glob("*/migrations/*.py")):
        digest.update(f"{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
