"""The functions need neither Django nor a server, and cost nothing until they are asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import providers

ROOT = Path(__file__).resolve().parents[3]
FOREIGN = ("django", "rest_framework", "celery", "asgiref", "portal", "files")
HEAVY = ("aiohttp", "httpx", "jsonschema", "orjson", "asyncio", "providers.registry", "providers.client")


def loaded_by(code: str) -> set[str]:
    """What a fresh interpreter without any setting has loaded after it ran this."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.splitlines())


def test_no_django_is_loaded():
    names = ", ".join(providers.__all__)
    found = loaded_by(f"from providers import {names}")
    assert "providers.client.chat" in found
    assert not {name for name in found if name.partition(".")[0] in FOREIGN}


def test_the_package_alone_is_light():
    found = loaded_by("import providers")
    assert not found.intersection(HEAVY)
    assert not {name for name in found if name.partition(".")[0] in FOREIGN}


def test_every_name_is_there_in_both_spellings():
    for name in providers.__all__:
        assert callable(getattr(providers, name))
    for verb in ("list", "retrieve", "delete"):
        plain = f"{verb}_files" if verb == "list" else f"{verb}_file"
        assert getattr(providers, plain) is getattr(providers, f"file_{verb}")
        assert getattr(providers, f"a{plain}") is getattr(providers, f"afile_{verb}")
    assert set(providers.__all__) <= set(dir(providers))


def test_an_unknown_name_is_an_error():
    with pytest.raises(AttributeError, match="no attribute 'completions'"):
        _ = providers.completions
