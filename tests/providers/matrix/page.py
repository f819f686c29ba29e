"""The page itself: the rows asked of every provider, written down."""

from __future__ import annotations

from pathlib import Path

from providers.registry import PROVIDERS
from tests.providers.matrix.rows import SECTIONS, Section

PAGE = Path(__file__).resolve().parents[3] / "templates" / "docs" / "providers.md"

INTRODUCTION = """# Providers and their features

What each provider does for callers of the OpenAI API. These tables are made by asking the code that speaks \
to the providers; a test keeps them true.

| In a cell | It means |
|---|---|
| yes | It works as OpenAI's API describes it, whatever words the provider has for it |
| some models | As yes, on some of the provider's models; on others it is refused by name (or left out, \
where `drop_params` is set), or becomes what comes nearest; a warning says so |
| – | The provider has nothing like it. Asking for it is refused by name, or passed on to a server that may \
know more than OpenAI |

OpenAI also stands for every server that speaks its API: parameters go up as they come, and the server \
decides."""


def to_table(section: Section) -> str:
    titles = [f"{row.title} (`{row.prefixes[0]}/`)" for row in PROVIDERS.values()]
    lines = [[section.first, *titles], ["---"] * (len(titles) + 1)]
    lines += [[label, *(probe(row) for row in PROVIDERS.values())] for label, probe in section.rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def to_page() -> str:
    blocks = [INTRODUCTION]
    for section in SECTIONS:
        blocks.append(f"## {section.title}")
        if section.words:
            blocks.append(section.words)
        blocks.append(to_table(section))
    return "\n\n".join(blocks) + "\n"
