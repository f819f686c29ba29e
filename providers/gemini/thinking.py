"""reasoning_effort, thinking and thinkingConfig → the one form that the model knows.

https://ai.google.dev/gemini-api/docs/thinking
"""

from __future__ import annotations

from typing import Any, Final

from providers.errors import InvalidRequest
from providers.gemini import spec
from providers.gemini.dialect import Translation
from providers.params import drop
from providers.types import Json

_LEVELS: Final = ("minimal", "low", "medium", "high")
_STOPPED: Final = frozenset({"none", "disable"})


def to_thinking_config(translation: Translation) -> Json | None:
    """The thinkingConfig of a request, None to leave it to the model."""
    settings, thinking = translation.settings, translation.traits.thinking
    effort, explicit = settings.get("reasoning_effort"), settings.get("thinking")
    own = settings.get("thinkingConfig", settings.get("thinking_config"))
    given = [
        name for name, value in (("reasoning_effort", effort), ("thinking", explicit)) if value is not None
    ]
    if own is not None:
        return _own(own, given, translation)
    if not given:
        return None
    if thinking.control == "none":
        for name in given:
            if not _asks_for_none(settings[name]):
                drop(translation.call, name, f"{translation.call.public_model} does not think")
        return None
    if explicit is not None:
        if effort is not None:
            translation.warn("reasoning_effort was not applied: thinking says the same more exactly")
        return _from_thinking(explicit, translation)
    return _from_effort(effort, translation)


def _asks_for_none(value: Any) -> bool:
    if isinstance(value, dict):
        return value.get("type") == "disabled" or value.get("effort") in _STOPPED
    return isinstance(value, str) and value in _STOPPED


def _own(value: Any, given: list[str], translation: Translation) -> Json:
    """Google's own object, under Google's names. It contradicts the other two."""
    if not isinstance(value, dict):
        raise InvalidRequest("thinkingConfig must be an object.", param="thinkingConfig")
    if given:
        raise InvalidRequest(f"thinkingConfig and {given[0]} exclude each other.", param=given[0])
    names = {
        "thinking_budget": "thinkingBudget",
        "thinking_level": "thinkingLevel",
        "include_thoughts": "includeThoughts",
    }
    config: Json = {names.get(str(name), str(name)): item for name, item in value.items()}
    for name in config:
        if name not in names.values():
            raise InvalidRequest(f"thinkingConfig has no {name}.", param=f"thinkingConfig.{name}")
    if isinstance(config.get("thinkingLevel"), str):
        config["thinkingLevel"] = config["thinkingLevel"].upper()
    if translation.traits.thinking.control == "none":
        drop(translation.call, "thinkingConfig", f"{translation.call.public_model} does not think")
        return {}
    return config


# ---- reasoning_effort ---------------------------------------------------------------------------


def _from_effort(effort: Any, translation: Translation) -> Json:
    word = effort.get("effort") if isinstance(effort, dict) else effort
    summary = isinstance(effort, dict) and effort.get("summary") is not None
    if word not in spec.EFFORTS:
        raise InvalidRequest(
            f"reasoning_effort must be one of {', '.join(spec.EFFORTS)}.",
            param="reasoning_effort",
            code="invalid_value",
        )
    stopped = word in _STOPPED
    if translation.traits.thinking.control == "level":
        config = _level("minimal" if stopped else word, translation)
    else:
        config = {"thinkingBudget": _effort_budget(word, translation)}
    config["includeThoughts"] = summary or not stopped
    return config


def _effort_budget(word: str, translation: Translation) -> int:
    thinking = translation.traits.thinking
    if word in _STOPPED:
        if not thinking.can_stop:
            translation.warn(
                f"{translation.call.public_model} cannot stop thinking; it thinks as little as it can"
            )
        return 0 if thinking.can_stop else thinking.least
    if word == "minimal":
        return thinking.minimal
    return max(thinking.least, min(spec.EFFORT_BUDGETS[word], thinking.most))


def _level(word: str, translation: Translation) -> Json:
    """The asked level, or the nearest that the model has: upwards first, so that no answer gets poorer."""
    levels = translation.traits.thinking.levels
    asked = _LEVELS.index(word) if word in _LEVELS else len(_LEVELS) - 1
    at_least = [level for level in levels if _LEVELS.index(level) >= asked]
    return {"thinkingLevel": (at_least[0] if at_least else levels[-1]).upper()}


# ---- thinking -----------------------------------------------------------------------------------


def _from_thinking(value: Any, translation: Translation) -> Json:
    """Anthropic's object `{"type", "budget_tokens"}`."""
    if not isinstance(value, dict):
        raise InvalidRequest("thinking must be an object.", param="thinking")
    budget = value.get("budget_tokens")
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int) or budget < -1):
        raise InvalidRequest("thinking.budget_tokens must be a whole number.", param="thinking.budget_tokens")
    match value.get("type", "enabled"):
        case "disabled":
            return _from_effort("none", translation)
        case "enabled" | "adaptive":
            pass
        case _:
            raise InvalidRequest(
                "thinking.type must be enabled, adaptive or disabled.", param="thinking.type"
            )
    if budget is None or budget == -1:
        return {"includeThoughts": True}
    if budget == 0:
        return _from_effort("none", translation)
    thinking = translation.traits.thinking
    if thinking.control == "level":
        config = _level(_nearest_effort(budget), translation)
        translation.warn(
            f"thinking.budget_tokens became thinkingLevel {config['thinkingLevel']}: the model has no budgets"
        )
    else:
        fitting = max(thinking.least, min(budget, thinking.most))
        if fitting != budget:
            translation.warn(f"thinking.budget_tokens became {fitting}, the nearest that the model allows")
        config = {"thinkingBudget": fitting}
    return {**config, "includeThoughts": True}


def _nearest_effort(budget: int) -> str:
    for word in ("low", "medium"):
        if budget <= spec.EFFORT_BUDGETS[word]:
            return word
    return "high"
