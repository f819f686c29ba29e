"""OpenAI's sampling, format and modality parameters → generationConfig.

https://ai.google.dev/api/generate-content#v1beta.GenerationConfig
https://ai.google.dev/gemini-api/docs/structured-output
https://ai.google.dev/gemini-api/docs/speech-generation
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from providers.errors import InvalidRequest
from providers.gemini import schema, spec
from providers.gemini.dialect import Translation
from providers.gemini.thinking import to_thinking_config
from providers.params import drop
from providers.types import Json

# OpenAI's name → Google's, where the value stays as it is.
SAME_VALUE: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "n": "candidateCount",
    "top_logprobs": "logprobs",
}
TRANSLATED: Final = frozenset(
    {"stop", "logprobs", "modalities", "audio", "response_format", "reasoning_effort", "thinking"}
)
"""OpenAI's names whose value is changed on the way."""

SAMPLING: Final = {"temperature": 1, "topP": 1, "topK": None}
PENALTIES: Final = {"presencePenalty": 0, "frequencyPenalty": 0}
"""Fields that some models lack, with the value that means nothing."""

_HUMP = re.compile(r"_([a-z0-9])")


def camel(name: str) -> str:
    """`max_output_tokens` → `maxOutputTokens`."""
    return _HUMP.sub(lambda found: found[1].upper(), name)


def to_generation_config(translation: Translation, *, has_functions: bool) -> Json:
    """The generationConfig of a request; empty where the caller sets nothing."""
    settings = translation.settings
    config = _own_fields(translation)
    for name, field in SAME_VALUE.items():
        value = settings.get(name)
        if value is not None and field not in config:
            config[field] = value
    if settings.get("max_completion_tokens") is not None:
        config["maxOutputTokens"] = settings["max_completion_tokens"]
    _stop(settings, config)
    if settings.get("logprobs") is True:
        config["responseLogprobs"] = True
    elif isinstance(settings.get("logprobs"), int) and not isinstance(settings["logprobs"], bool):
        config["logprobs"] = settings["logprobs"]
    config.update(_format(translation, has_functions=has_functions))
    config.update(_modalities(translation, config))
    thinking = to_thinking_config(translation)
    config.pop("thinkingConfig", None)
    if thinking:
        config["thinkingConfig"] = thinking
    if translation.resolution is not None:
        config.setdefault("mediaResolution", translation.resolution)
    _leave_out_unknown(translation, config)
    return config


def _own_fields(translation: Translation) -> Json:
    """Fields that the caller gave under Google's names, at the top or in generationConfig, in either case."""
    settings = translation.settings
    known = translation.dialect.generation_fields
    config: Json = {}
    for holder_name in ("generationConfig", "generation_config"):
        holder = settings.get(holder_name)
        if holder is None:
            continue
        if not isinstance(holder, dict):
            raise InvalidRequest(f"{holder_name} must be an object.", param=holder_name)
        for name, value in holder.items():
            if camel(name) in known:
                config[camel(name)] = value
            else:
                drop(translation.call, f"{holder_name}.{name}", "generationConfig has no such field")
    for name, value in settings.items():
        if value is not None and name not in SAME_VALUE and name not in TRANSLATED and camel(name) in known:
            config[camel(name)] = value
    return config


def _stop(settings: Mapping[str, Any], config: Json) -> None:
    stop = settings.get("stop", config.get("stopSequences"))
    if stop is None:
        return
    sequences = [stop] if isinstance(stop, str) else stop
    if not isinstance(sequences, list) or not all(isinstance(item, str) for item in sequences):
        raise InvalidRequest("stop must be a string or a list of strings.", param="stop")
    sequences = [item for item in sequences if item]
    if len(sequences) > spec.MAX_STOP_SEQUENCES:
        raise InvalidRequest(
            f"stop may hold at most {spec.MAX_STOP_SEQUENCES} sequences for this model.", param="stop"
        )
    if sequences:
        config["stopSequences"] = sequences
    else:
        config.pop("stopSequences", None)


def _leave_out_unknown(translation: Translation, config: Json) -> None:
    """Fields that the model does not know: silently where the value means nothing, else by drop."""
    call, traits = translation.call, translation.traits
    names = {field: name for name, field in SAME_VALUE.items() if name != "max_tokens"}
    lacking: dict[str, object] = {}
    if not traits.takes_sampling:
        lacking |= SAMPLING
    if not traits.takes_penalties:
        lacking |= PENALTIES
    if not traits.takes_many_candidates:
        lacking["candidateCount"] = 1
    for field, nothing in lacking.items():
        value = config.pop(field, None)
        if value is not None and value != nothing:
            drop(call, names[field], f"{call.public_model} does not take it")
    count = config.get("candidateCount")
    if isinstance(count, int) and count > spec.MAX_CANDIDATES:
        raise InvalidRequest(f"n may be at most {spec.MAX_CANDIDATES} for this model.", param="n")
    if config.get("candidateCount") == 1:
        del config["candidateCount"]
    if "logprobs" in config and not config.get("responseLogprobs"):
        raise InvalidRequest("top_logprobs needs logprobs to be true.", param="top_logprobs")


# ---- response_format ----------------------------------------------------------------------------


def _format(translation: Translation, *, has_functions: bool) -> Json:
    response_format = translation.settings.get("response_format")
    if not isinstance(response_format, dict):
        return {}
    kind = response_format.get("type")
    if kind == "text":
        return {}
    if has_functions and not translation.traits.takes_mixed_tools:
        drop(translation.call, "response_format", "this model does not combine JSON mode with functions")
        return {}
    config: Json = {"responseMimeType": "application/json"}
    wanted, path = _schema_in(response_format)
    if wanted is not None:
        if translation.traits.takes_json_schema:
            config["responseJsonSchema"] = schema.to_json_schema(wanted, path)
        else:
            config["responseSchema"] = schema.to_openapi_schema(wanted, path)
    return config


def _schema_in(response_format: Mapping[str, Any]) -> tuple[Any, str]:
    """The schema in OpenAI's place or in LiteLLM's, and its path."""
    json_schema = response_format.get("json_schema")
    if isinstance(json_schema, dict):
        return json_schema.get("schema"), "response_format.json_schema.schema"
    return response_format.get("response_schema"), "response_format.response_schema"


# ---- modalities and audio -----------------------------------------------------------------------


def _modalities(translation: Translation, config: Json) -> Json:
    call, traits = translation.call, translation.traits
    modalities = translation.settings.get("modalities")
    audio = translation.settings.get("audio")
    result: Json = {}
    if traits.speaks:
        # Text-to-speech models answer audio and nothing else; asked for text they refuse.
        if modalities is not None and "audio" in modalities and len(set(modalities)) > 1:
            translation.warn("modalities became audio alone: the model answers nothing else")
        result["responseModalities"] = ["AUDIO"]
        if audio is not None:
            result |= _speech(translation, audio)
        return result
    if audio is not None:
        drop(call, "audio", f"{call.public_model} does not speak")
    if modalities is None:
        return result
    wanted: list[str] = []
    for name in modalities:
        if name not in spec.MODALITIES:
            raise InvalidRequest(f"modalities may hold {', '.join(spec.MODALITIES)}.", param="modalities")
        if name == "audio":
            drop(call, "modalities", f"{call.public_model} does not speak")
        else:
            wanted.append(spec.MODALITIES[name])
    if wanted and wanted != ["TEXT"] and "responseModalities" not in config:
        result["responseModalities"] = wanted
    return result


def _speech(translation: Translation, audio: Mapping[str, Any]) -> Json:
    """OpenAI's `audio {voice, format}`; several speakers by Google's own speechConfig inside it."""
    result: Json = {}
    for name in ("speechConfig", "speech_config"):
        if isinstance(audio.get(name), dict):
            result["speechConfig"] = audio[name]
    voice = audio.get("voice")
    voice = voice.get("id") if isinstance(voice, dict) else voice
    if voice is not None and "speechConfig" not in result:
        if not isinstance(voice, str) or not voice:
            raise InvalidRequest("audio.voice must be the name of a voice.", param="audio.voice")
        named = {"prebuiltVoiceConfig": {"voiceName": spec.VOICES.get(voice.lower(), voice)}}
        result["speechConfig"] = {"voiceConfig": named}
        language = audio.get("language_code", audio.get("languageCode"))
        if isinstance(language, str):
            result["speechConfig"]["languageCode"] = language
    result |= _audio_format(translation, audio.get("format"))
    return result


def _audio_format(translation: Translation, wanted: Any) -> Json:
    """Old models answer raw samples, new ones may be told. WAV of an old model is made on the way back."""
    call = translation.call
    stream = call.body.get("stream") is True
    if wanted not in (None, "pcm16", "wav") or (wanted == "wav" and stream):
        drop(call, "audio.format", "the model answers pcm16, and wav where the answer is not streamed")
        wanted = "pcm16"
    if not translation.traits.speaks_verbatim or wanted is None:
        return {}
    kind = "AUDIO_WAV" if wanted == "wav" else "AUDIO_L16"
    return {"responseFormat": [{"audio": {"mimeType": kind}}]}
