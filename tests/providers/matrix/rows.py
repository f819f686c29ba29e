"""The rows of the tables: what is asked of every provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from providers.media import OFFICE as OFFICE_TYPES
from tests.fakes import samples
from tests.providers.matrix import probes
from tests.providers.matrix.probes import Probe, asks, encoded, parts_of, reads, shows, tells
from tests.providers.office import sample


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    words: str
    first: str
    """Head of the first column."""
    rows: tuple[tuple[str, Probe], ...]


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def called(name: str) -> dict[str, Any]:
    return {"id": f"id-of-{name}", "type": "function", "function": {"name": name, "arguments": "{}"}}


OFFICE = {ending: media_type for media_type, ending in OFFICE_TYPES.items()}
F, G = function("f"), function("g")
SCHEMA = {"type": "object", "properties": {"zebra": {"type": "string"}}}
HELLO = {"role": "user", "content": "Hello"}
RESULTS = {
    "messages": [
        HELLO,
        {"role": "assistant", "content": None, "tool_calls": [called("f"), called("g")]},
        {"role": "tool", "tool_call_id": "id-of-g", "content": "second"},
        {"role": "tool", "tool_call_id": "id-of-f", "content": "first"},
    ],
    "tools": [F, G],
}
PNG = f"data:image/png;base64,{encoded(samples.png())}"
WAV = {"data": encoded(samples.wav()), "format": "wav"}
MP4 = f"data:video/mp4;base64,{encoded(samples.mp4())}"
CSV = {"filename": "a.csv", "file_data": f"data:text/csv;base64,{encoded(samples.csv())}"}
PDF = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{encoded(samples.pdf())}"}

SECTIONS = (
    Section(
        "Conversations",
        "",
        "Feature",
        (
            ("Whole answers", tells(lambda answer: answer["choices"][0]["message"]["content"])),
            ("Streams, with usage", probes.streams),
            (
                "System and developer messages",
                asks(
                    {"messages": [{"role": "developer", "content": "Be brief."}, HELLO]},
                    "Be brief.",
                ),
            ),
            ("Tools", asks({"tools": [F]}, '"name":"f"')),
            (
                "`tool_choice: required`",
                asks({"tools": [F], "tool_choice": "required"}, '"required"', '"ANY"'),
            ),
            (
                "One tool by name",
                asks(
                    {"tools": [F, G], "tool_choice": {"type": "function", "function": {"name": "g"}}},
                    '"tool_choice":{"type":"function","function":{"name":"g"}}',
                    '"allowedFunctionNames":["g"]',
                ),
            ),
            (
                "Parallel calls in one answer",
                tells(lambda answer: answer["choices"][0]["message"]["tool_calls"][1]),
            ),
            ("At most one call (`parallel_tool_calls: false`)", probes.calls_once),
            ("Results of parallel calls, in any order", asks(RESULTS, "first")),
            (
                "JSON mode",
                asks({"response_format": {"type": "json_object"}}, "json_object", "application/json"),
            ),
            (
                "JSON schema",
                asks(
                    {
                        "response_format": {
                            "type": "json_schema",
                            "json_schema": {"name": "n", "schema": SCHEMA},
                        }
                    },
                    "zebra",
                ),
            ),
            (
                "JSON schema and tools at once",
                asks(
                    {
                        "response_format": {
                            "type": "json_schema",
                            "json_schema": {"name": "n", "schema": SCHEMA},
                        },
                        "tools": [F],
                    },
                    "zebra",
                ),
            ),
            ("`reasoning_effort`", asks({"reasoning_effort": "low"}, "reasoning_effort", "thinkingConfig")),
            (
                "`thinking` with a budget",
                asks(
                    {"thinking": {"type": "enabled", "budget_tokens": 2048}},
                    '"thinkingBudget":2048',
                    "thinkingLevel",
                ),
            ),
            (
                "Thoughts in the answer",
                tells(lambda answer: answer["choices"][0]["message"]["reasoning_content"]),
            ),
        ),
    ),
    Section(
        "Parameters",
        "",
        "Parameter",
        (
            ("`max_tokens`, `max_completion_tokens`", asks({"max_completion_tokens": 77}, ":77")),
            ("`temperature`", asks({"temperature": 0.25}, "0.25")),
            ("`top_p`", asks({"top_p": 0.25}, "0.25")),
            ("`top_k`", asks({"top_k": 33}, "33")),
            ("`stop`", asks({"stop": ["END"]}, "END")),
            ("`n`", asks({"n": 2}, '"n":2', '"candidateCount":2')),
            ("`seed`", asks({"seed": 77}, '"seed":77')),
            ("`frequency_penalty`, `presence_penalty`", asks({"presence_penalty": 0.25}, "0.25")),
            ("`logit_bias`", asks({"logit_bias": {"1": 5}}, "logit_bias")),
            (
                "`logprobs`, `top_logprobs`",
                asks({"logprobs": True, "top_logprobs": 2}, '"logprobs":true', '"responseLogprobs":true'),
            ),
            ("`service_tier`", asks({"service_tier": "flex"}, '"flex"', "FLEX")),
            ("`prediction`", asks({"prediction": {"type": "content", "content": "x"}}, "prediction")),
            ("`verbosity`", asks({"verbosity": "low"}, "verbosity")),
            (
                "`metadata` as labels",
                asks(
                    {"metadata": {"team": "blue"}}, '"metadata":{"team":"blue"}', '"labels":{"team":"blue"}'
                ),
            ),
            (
                "`safety_settings`",
                asks(
                    {
                        "safety_settings": [
                            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}
                        ]
                    },
                    '"safetySettings":',
                ),
            ),
        ),
    ),
    Section(
        "What the provider runs itself",
        "",
        "Tool",
        (
            (
                "Web search (`web_search_options`)",
                asks({"web_search_options": {}}, "web_search_options", "googleSearch"),
            ),
            ("Web search (`googleSearch`)", asks({"tools": [{"googleSearch": {}}]}, '"googleSearch":')),
            ("Reading addresses (`urlContext`)", asks({"tools": [{"urlContext": {}}]}, '"urlContext":')),
            ("Running code (`codeExecution`)", asks({"tools": [{"codeExecution": {}}]}, '"codeExecution":')),
            ("Maps (`googleMaps`)", asks({"tools": [{"googleMaps": {}}]}, '"googleMaps":')),
            (
                "Computer use",
                asks({"tools": [{"type": "computer_use", "environment": "browser"}]}, '"computerUse":'),
            ),
            (
                "Search of an enterprise (`enterpriseWebSearch`)",
                asks({"tools": [{"enterpriseWebSearch": {}}]}, '"enterpriseWebSearch":'),
            ),
            ("Functions next to these", asks({"tools": [F, {"googleSearch": {}}]}, '"googleSearch":')),
        ),
    ),
    Section(
        "Media within a message",
        "Base64 in the request itself; addresses on the public internet that a provider does not read are "
        "fetched by Portico.",
        "Kind",
        (
            (
                "Pictures",
                asks(parts_of({"type": "image_url", "image_url": {"url": PNG}}), encoded(samples.png())),
            ),
            (
                "Sound",
                asks(parts_of({"type": "input_audio", "input_audio": WAV}), encoded(samples.wav())),
            ),
            ("PDF", asks(parts_of({"type": "file", "file": PDF}), encoded(samples.pdf()))),
            (
                "Video (`video_url`)",
                asks(parts_of({"type": "video_url", "video_url": {"url": MP4}}), encoded(samples.mp4())),
            ),
            ("Text", asks(parts_of({"type": "file", "file": CSV}), "item 1", encoded(samples.csv()))),
            (
                "Pictures at https addresses, read by the provider",
                reads("image_url", "https://example.com/a.png"),
            ),
            ("`gs://` objects", reads("file", "gs://a-bucket/a.pdf")),
            ("Videos on YouTube", reads("video_url", "https://www.youtube.com/watch?v=x")),
        ),
    ),
    Section(
        "Managed files",
        "How a file is shown by its id when no copy of it is at the provider yet, by size. A copy that is "
        "already there is used whatever the size.",
        "Kind",
        (
            ("Copies, made and removed for you", probes.keeps_copies),
            ("Pictures by signed address", probes.shows_signed),
            ("PDF", shows("application/pdf", samples.pdf())),
            ("PNG, JPEG, WebP", shows("image/png", samples.png())),
            ("GIF", shows("image/gif", samples.gif())),
            ("WAV, MP3", shows("audio/wav", samples.wav())),
            ("FLAC, OGG, AAC", shows("audio/flac", b"fLaC" + b"0" * 40)),
            ("MP4 and other video", shows("video/mp4", samples.mp4())),
            ("Plain text, CSV, JSON, Markdown, code", shows("text/csv", samples.csv())),
            ("Word (docx), OpenDocument text", shows(OFFICE["docx"], sample("report.docx"))),
            ("Excel (xlsx), OpenDocument spreadsheets", shows(OFFICE["xlsx"], sample("sales.xlsx"))),
            ("PowerPoint (pptx), OpenDocument slides", shows(OFFICE["pptx"], sample("plan.pptx"))),
            ("RTF", shows("application/rtf", sample("memo.rtf"))),
            ("doc, xls, ppt of before 2007", shows("application/msword", b"x")),
        ),
    ),
    Section(
        "What comes out",
        "",
        "Part of an answer",
        (
            ("Speech (`modalities`, `audio`)", probes.speaks),
            ("Pictures (`images`)", probes.paints),
            ("`logprobs`", tells(lambda answer: answer["choices"][0]["logprobs"]["content"])),
            (
                "Citations (`annotations`)",
                tells(lambda answer: answer["choices"][0]["message"]["annotations"]),
            ),
            (
                "Code that was run, and its result",
                tells(lambda answer: "print(42)" in str(answer["choices"][0]["message"])),
            ),
            ("Search metadata", tells(lambda answer: answer["vertex_ai_grounding_metadata"])),
            ("Metadata of addresses read", tells(lambda answer: answer["vertex_ai_url_context_metadata"])),
            ("Safety ratings", tells(lambda answer: answer["vertex_ai_safety_results"])),
            ("Refusals (`refusal`)", tells(lambda answer: answer["choices"][0]["message"]["refusal"])),
            (
                "Cached tokens in `usage`",
                tells(lambda answer: answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 20),
            ),
            (
                "Reasoning tokens in `usage`",
                tells(lambda answer: answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3),
            ),
        ),
    ),
    Section(
        "Beside chat",
        "",
        "Feature",
        (
            ("Embeddings", probes.embeds),
            ("Token counts", probes.counts),
            ("Context caching by `cache_control`", probes.caches),
            ("The provider's own API with a Portico key", probes.has_own_api),
            ("Model names suggested in the model form", probes.lists_models),
        ),
    ),
)
