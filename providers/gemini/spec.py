"""What Google says of its Gemini models: generations, thinking, limits, finish reasons, parameter names.

https://ai.google.dev/gemini-api/docs/models
https://ai.google.dev/gemini-api/docs/thinking
https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from providers.types import Field

DEFAULT_BASE: Final = "https://generativelanguage.googleapis.com"
DEFAULT_VERSION: Final = "v1beta"
VERSIONS: Final = ("v1beta", "v1alpha", "v1")
"""v1beta knows everything that v1 knows and the `-latest` aliases besides."""

ACCOUNT_FIELDS: Final = (
    Field(
        "api_key", "API key", secret=True, required=True, placeholder="AIza…", help="From Google AI Studio."
    ),
    Field("api_base", "API base", placeholder=DEFAULT_BASE, help="Only for a proxy or an emulator."),
    Field("api_version", "API version", placeholder=DEFAULT_VERSION, help="v1beta, v1 or v1alpha."),
)

# ---- limits -------------------------------------------------------------------------------------
# https://ai.google.dev/gemini-api/docs/files, https://ai.google.dev/gemini-api/docs/document-processing

MAX_FILE_BYTES: Final = 2 * 1024**3
MAX_PDF_BYTES: Final = 50 * 1024**2
MAX_INLINE_BYTES: Final = 15 * 1024**2
"""Raw bytes sent as base64 within a request; Google allows 100 MB encoded, guides still say 20 MB."""
MAX_FETCHED_BYTES: Final = 50 * 1024**2
"""At one address; all of a request may have 100 MB."""
MAX_DISPLAY_NAME: Final = 512
MAX_STOP_SEQUENCES: Final = 5
MAX_CANDIDATES: Final = 8
MAX_LIST_PAGE: Final = 100
UPLOAD_CHUNK: Final = 8 * 1024**2
UPLOAD_GRANULARITY: Final = 256 * 1024
"""Chunks but the last are multiples of this, unless the start of the upload answers another figure."""

# ---- models -------------------------------------------------------------------------------------

Generation: TypeAlias = tuple[int, int]
NEWEST: Final[Generation] = (3, 8)
"""What a name that tells no generation (`gemini-flash-latest`, a tuned model) counts as."""

FIRST_TO_FETCH: Final[Generation] = (2, 5)
"""Earlier models read no files at https addresses."""

_GENERATION = re.compile(r"gemini-(\d+)(?:\.(\d+))?(?!\d)")
_OLD_NAMES = re.compile(r"gemini-(pro|ultra)(-vision)?$|gemini-exp-\d{4}$|learnlm")


def generation_of(model: str) -> Generation:
    """`gemini-2.5-flash` → (2, 5). Names without a number count as the newest."""
    if found := _GENERATION.search(model):
        return int(found[1]), int(found[2] or 0)
    return (1, 0) if _OLD_NAMES.search(model) else NEWEST


Control: TypeAlias = Literal["level", "budget", "none"]


@dataclass(frozen=True, slots=True)
class Thinking:
    """How a model's thinking is steered: by one of `levels`, by a budget of tokens, or not at all."""

    control: Control
    levels: tuple[str, ...] = ()
    least: int = 0
    most: int = 0
    can_stop: bool = False
    minimal: int = 0
    """Budget that stands for the effort `minimal`."""


_FULL = ("minimal", "low", "medium", "high")
NO_THINKING: Final = Thinking("none")

# https://ai.google.dev/gemini-api/docs/thinking (September 2026): the first pattern that fits decides.
THINKING: Final[tuple[tuple[re.Pattern[str], Thinking], ...]] = (
    (re.compile(r"-tts\b|embedding|imagen|gemma|-live\b|native-audio|transcribe"), NO_THINKING),
    (re.compile(r"gemini-[12]\.[0-4]|gemini-1-|gemini-2-|gemini-2\.5.*-image|3.*pro-image"), NO_THINKING),
    (re.compile(r"gemini-2\.5-pro"), Thinking("budget", least=128, most=32_768, minimal=128)),
    (
        re.compile(r"gemini-2\.5-flash-lite"),
        Thinking("budget", least=512, most=24_576, can_stop=True, minimal=512),
    ),
    (re.compile(r"gemini-2\.5"), Thinking("budget", least=1, most=24_576, can_stop=True, minimal=1)),
    (re.compile(r"gemini-3.*-image"), Thinking("level", levels=("minimal", "high"))),
    (re.compile(r"gemini-3.*-lite"), Thinking("level", levels=_FULL)),
    (re.compile(r"gemini-3-pro"), Thinking("level", levels=("low", "high"))),
    (re.compile(r"gemini-3(\.5|\.6)?-flash"), Thinking("level", levels=_FULL)),
)
_THINKING_OF_NEWER = Thinking("level", levels=("low", "medium", "high"))


@dataclass(frozen=True, slots=True)
class Traits:
    """What the translator must know of one model."""

    generation: Generation
    thinking: Thinking
    takes_sampling: bool
    """temperature, topP, topK: ignored from 3.6 Flash and 3.5 Flash-Lite on, a 400 is announced."""
    takes_many_candidates: bool
    takes_penalties: bool
    takes_json_schema: bool
    """responseJsonSchema and parametersJsonSchema; older models only know the OpenAPI subset."""
    takes_mixed_tools: bool
    """Functions next to built-in tools, and functions next to JSON mode."""
    takes_system: bool
    takes_prefill: bool
    """A conversation may end with a turn of the model."""
    wants_signatures: bool
    """The first function call of each step must carry its thought signature; calls carry ids."""
    takes_part_resolution: bool
    speaks: bool
    """A text-to-speech model: audio is all that it answers."""
    speaks_verbatim: bool
    """Style goes into speechMetadata instead of the prompt, and the audio's form may be chosen."""


@lru_cache(maxsize=1024)
def traits_of(model: str) -> Traits:
    """The traits of a model by its name, with or without `models/`."""
    generation = generation_of(model)
    third = generation >= (3, 0)
    gemma = "gemma" in model
    newer = generation >= (3, 6) or (generation == (3, 5) and "-lite" in model)
    speaks = "-tts" in model
    return Traits(
        generation=generation,
        thinking=_thinking_of(model, generation),
        takes_sampling=not newer or gemma,
        takes_many_candidates=not third or gemma,
        takes_penalties=not third or gemma,
        takes_json_schema=generation >= (2, 5),
        takes_mixed_tools=third,
        takes_system=not gemma and not speaks,
        takes_prefill=not newer,
        wants_signatures=third and not gemma,
        takes_part_resolution=third,
        speaks=speaks,
        speaks_verbatim=speaks and generation >= (3, 8),
    )


def _thinking_of(model: str, generation: Generation) -> Thinking:
    for pattern, thinking in THINKING:
        if pattern.search(model):
            return thinking
    return _THINKING_OF_NEWER if generation >= (2, 5) else NO_THINKING


# ---- generationConfig ---------------------------------------------------------------------------
# https://ai.google.dev/api/generate-content#v1beta.GenerationConfig

GENERATION_FIELDS: Final = frozenset(
    {
        "temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences",
        "presencePenalty", "frequencyPenalty", "seed", "responseLogprobs", "logprobs",
        "responseMimeType", "responseSchema", "responseJsonSchema", "responseFormat",
        "responseModalities", "mediaResolution", "speechConfig", "thinkingConfig", "imageConfig",
        "enableEnhancedCivicAnswers", "audioTranscriptionConfig", "translationConfig",
    }
)  # fmt: skip
VERTEX_GENERATION_FIELDS: Final = frozenset({"audioTimestamp", "routingConfig", "modelConfig"})

MODALITIES: Final = {"text": "TEXT", "image": "IMAGE", "audio": "AUDIO", "video": "VIDEO"}
SERVICE_TIERS: Final = {"default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"}
RESOLUTIONS: Final = {
    "low": "MEDIA_RESOLUTION_LOW",
    "medium": "MEDIA_RESOLUTION_MEDIUM",
    "high": "MEDIA_RESOLUTION_HIGH",
    "ultra_high": "MEDIA_RESOLUTION_ULTRA_HIGH",
    "original": "MEDIA_RESOLUTION_ULTRA_HIGH",
}
"""OpenAI's and LiteLLM's words for `detail`; `auto` leaves it to the model. In order of rising detail."""

# Seed table for 2.x (LiteLLM documents disable, low, medium, high); the further steps go on doubling.
EFFORT_BUDGETS: Final = {"low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16_384}
EFFORTS: Final = ("disable", "none", "minimal", "low", "medium", "high", "xhigh", "max")

# https://ai.google.dev/gemini-api/docs/speech-generation; OpenAI's voices by likeness.
VOICES: Final = {
    "alloy": "Kore", "ash": "Iapetus", "ballad": "Algieba", "cedar": "Achird", "coral": "Sulafat",
    "echo": "Charon", "fable": "Umbriel", "marin": "Despina", "onyx": "Orus", "sage": "Vindemiatrix",
    "shimmer": "Achernar", "verse": "Puck",
}  # fmt: skip
SPEECH_RATE: Final = 24_000
"""Samples per second of the s16le mono audio that text-to-speech models answer."""

# ---- safety -------------------------------------------------------------------------------------
# https://ai.google.dev/gemini-api/docs/safety-settings

HARM_CATEGORIES: Final = frozenset(
    f"HARM_CATEGORY_{name}"
    for name in (
        "HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT", "CIVIC_INTEGRITY", "JAILBREAK",
        "IMAGE_HATE", "IMAGE_DANGEROUS_CONTENT", "IMAGE_HARASSMENT", "IMAGE_SEXUALLY_EXPLICIT",
    )
)  # fmt: skip
HARM_THRESHOLDS: Final = frozenset(
    {
        "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
        "BLOCK_LOW_AND_ABOVE",
        "BLOCK_MEDIUM_AND_ABOVE",
        "BLOCK_ONLY_HIGH",
        "BLOCK_NONE",
        "OFF",
    }
)

# ---- finish reasons -----------------------------------------------------------------------------
# https://ai.google.dev/api/generate-content#FinishReason

Ending: TypeAlias = Literal["stop", "length", "content_filter", "broken", "other"]
"""`broken`: the model produced something unusable; without any content that is a failure of the provider.
`other`: stop when something was said, content_filter when nothing was."""

FINISH_REASONS: Final[dict[str, Ending]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",
    "ESCALATION": "content_filter",
    "MALFORMED_FUNCTION_CALL": "broken",
    "MALFORMED_RESPONSE": "broken",
    "UNEXPECTED_TOOL_CALL": "broken",
    "MISSING_THOUGHT_SIGNATURE": "broken",
    "TOO_MANY_TOOL_CALLS": "broken",
    "NO_IMAGE": "other",
    "IMAGE_OTHER": "other",
    "OTHER": "other",
    "FINISH_REASON_UNSPECIFIED": "other",
}

# ---- thought signatures -------------------------------------------------------------------------
# https://ai.google.dev/gemini-api/docs/thought-signatures

NO_SIGNATURE: Final = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""base64 of `skip_thought_signature_validator`: for calls whose signature is lost or never existed."""
