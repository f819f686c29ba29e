"""Settings of the test run: the product's own, with data that goes away."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

_data = tempfile.mkdtemp(prefix="portico-tests-")
atexit.register(shutil.rmtree, _data, ignore_errors=True)
os.environ["PORTICO_DATA_DIR"] = _data
for _name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "PORTICO_MASTER_KEY", "PORTICO_SECRET_KEY"):
    os.environ.pop(_name, None)
# Storages of the machine are none of the tests'.
for _name in ("PORTICO_STORAGE", "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_CONNECTION_STRING"):
    os.environ.pop(_name, None)

from portal.settings import *  # noqa: E402, F403 - the environment must be set before
from portal.settings import DATA_DIR, DATABASES  # noqa: E402

# Threads must see the same tables, so the test database is a file.
DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", "testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CELERY_TASK_ALWAYS_EAGER = False
