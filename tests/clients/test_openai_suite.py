"""openai's own tests of files, uploads and models, unchanged, against the product (tests/api_resources).

Every answer is read by their strict clients, which take nothing but what OpenAI's schema says.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.clients.stand_in import standing_in
from tests.requirements import openai_suite

pytestmark = [
    pytest.mark.xdist_group("clients"),
    pytest.mark.skipif(openai_suite() is None, reason="openai's own tests are not installed"),
]

MODULES = ("test_files.py", "test_uploads.py", "uploads/test_parts.py", "test_models.py")
LEAST = 140
"""How many must pass, so that a suite which collects nothing is no success."""
LEFT_OUT = "not loose and not (Models and delete)"
"""The loose clients read the same answers as the strict; models are deleted by admins, at other addresses."""
SUMMARY = re.compile(r"(\d+) passed")
SECONDS = 120


def test_openais_own_tests_pass(base_url: str, key: str) -> None:
    folder = openai_suite()
    assert folder is not None
    command = [sys.executable, "-m", "pytest", *(f"tests/api_resources/{module}" for module in MODULES)]
    # Their settings ask for as many processes as there are cores.
    command += ["-k", LEFT_OUT, "-q", "--tb=short", "-n", "0", "-p", "no:cacheprovider", "-p", "no:django"]
    command += ["-p", "no:langsmith_plugin"]
    with standing_in(base_url, key) as address:
        done = subprocess.run(
            command,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "TEST_API_BASE_URL": address},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = SUMMARY.search(done.stdout)
    assert passed is not None
    assert int(passed[1]) >= LEAST
