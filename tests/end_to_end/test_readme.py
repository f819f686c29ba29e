"""The README's tour works as printed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.product import INHERITED, OURS, ROOT

pytestmark = pytest.mark.xdist_group("readme")

PRINTED_ADDRESS = "http://127.0.0.1:4000"


@dataclass(frozen=True)
class Demo:
    url: str
    key: str
    setup_url: str


def blocks(language: str) -> list[str]:
    """The README's code blocks in one language, in order."""
    text = (ROOT / "README.md").read_text()
    return [
        textwrap.dedent(found)
        for found in re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    ]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment = {**inherited, **OURS, "PORTICO_DATA_DIR": str(tmp_path_factory.mktemp("demo"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.demo", "--port", "0"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found: dict[str, str] = {}
    for line in process.stdout:
        for name, pattern in {
            "url": r"^Portico is ready at (\S+)$",
            "setup_url": r"(http://\S+/setup/\S+)$",
            "key": r"^A key to try it with: (\S+)$",
        }.items():
            if match := re.search(pattern, line.strip()):
                found[name] = match.group(1)
        if line.startswith("Log:"):
            break
    try:
        yield Demo(**found)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


def run(command: list[str], demo: Demo, folder: Path) -> str:
    environment = {**os.environ, "KEY": demo.key}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tour_works_as_printed(demo: Demo, tmp_path: Path) -> None:
    commands = [block for block in blocks("sh") if PRINTED_ADDRESS in block and "curl" in block]
    assert len(commands) == 2
    shell = "\n".join(commands).replace(PRINTED_ADDRESS, demo.url)
    printed = run(["bash", "-euo", "pipefail", "-c", shell], demo, tmp_path)
    # The emulators answer with what they were sent: both models saw the file and the question.
    assert printed.count("chat.completion") == 2, printed
    assert printed.count("Which day was busier?") == 2
    assert "error" not in printed


def test_the_python_example_works_as_printed(demo: Demo, tmp_path: Path) -> None:
    (example,) = blocks("python")
    (tmp_path / "visitors.csv").write_text("day,visitors\nMonday,120\n")
    printed = run([sys.executable, "-c", example.replace(PRINTED_ADDRESS, demo.url)], demo, tmp_path)
    assert [line.split()[0] for line in printed.splitlines() if "gemini" in line or "gpt" in line]
    assert printed.count("Which day was busier?") == 2


def test_the_two_commands_stand_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("serve", "test", "demo", "setup", "lint", "bench"):
        assert f"\n{target}:" in makefile


@pytest.mark.parametrize(
    "page", ["README.md", *(f"{folder}/README.md" for folder in ("portal", "files", "providers"))]
)
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    missing = [link for link in links if link and not (ROOT / page).parent.joinpath(link).exists()]
    assert missing == []
