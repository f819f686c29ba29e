"""Says in one line each what this machine lacks and which tests are therefore skipped. In CI that fails."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".cache"
NODE_MODULES = CACHE / "npm" / "node_modules"


@dataclass(frozen=True)
class Requirement:
    name: str
    is_met: bool
    remedy: str


def chromium() -> str | None:
    """Path of the browser."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def axe() -> Path | None:
    path = NODE_MODULES / "axe-core" / "axe.min.js"
    return path if path.exists() else None


def azurite() -> Path | None:
    path = NODE_MODULES / ".bin" / "azurite-blob"
    return path if path.exists() and shutil.which("node") else None


def node() -> str | None:
    """Path of the program that runs the clients from npm, when those are installed."""
    return shutil.which("node") if (NODE_MODULES / "openai" / "package.json").exists() else None


def openai_suite() -> Path | None:
    """The source of the openai package as installed, with the tests that its wheel lacks."""
    path = CACHE / "openai" / f"openai-{version('openai')}"
    return path if (path / "tests" / "api_resources").is_dir() else None


def recorded_traffic() -> Path | None:
    """The folder of recorded exchanges; it is not part of the repository."""
    folder = os.environ.get("RECORDED_TRAFFIC")
    return Path(folder) if folder and Path(folder).is_dir() else None


def all_requirements() -> list[Requirement]:
    return [
        Requirement(
            "Chromium", chromium() is not None, "browser tests skipped; install the chromium package"
        ),
        Requirement(
            "axe-core", axe() is not None, "accessibility checks skipped; install npm and run make test again"
        ),
        Requirement(
            "Azurite", azurite() is not None, "Azure tests skipped; install npm and run make test again"
        ),
        Requirement(
            "clients from npm", node() is not None, "their tests skipped; install npm and run make test again"
        ),
        Requirement(
            "openai's own tests", openai_suite() is not None, "skipped; run make test again when PyPI answers"
        ),
    ]


def main() -> int:
    missing = [requirement for requirement in all_requirements() if not requirement.is_met]
    for requirement in missing:
        print(f"not installed: {requirement.name}: {requirement.remedy}")
    return 1 if missing and os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    sys.exit(main())
