"""YAML with line numbers: safe values only, every key's line kept, complaints collected."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from providers.errors import InvalidRequest

Steps: TypeAlias = tuple[str | int, ...]
MAX_BYTES = 4 * 2**20
MAX_NODES = 200_000
"""Aliases are written out, so that a small file could otherwise become a huge one."""
SURROGATE = re.compile("[\ud800-\udfff]")
TIMESTAMP = "tag:yaml.org,2002:timestamp"


class ConfigError(InvalidRequest):
    """A config file that cannot be imported; one line of the message per complaint."""

    code = "invalid_config"


@dataclass
class Source:
    """A file as plain values, the line of each, and what was found wrong or left out of it."""

    name: str
    data: Any
    lines: dict[Steps, int]
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def line(self, steps: Steps) -> int:
        """The line of a value, or of the nearest thing around it."""
        while steps and steps not in self.lines:
            steps = steps[:-1]
        return self.lines.get(steps, 1)

    def say(self, steps: Steps, complaint: str) -> str:
        """`config.yaml line 12: model_list[3].litellm_params.model is missing`"""
        return f"{self.name} line {self.line(steps)}: {written(steps)}{' ' if steps else ''}{complaint}"


def written(steps: Steps) -> str:
    """`model_list[3].litellm_params.model`"""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


@dataclass(frozen=True)
class Place:
    """One value in the file, with the way to it."""

    source: Source
    steps: Steps
    value: Any

    def error(self, complaint: str) -> None:
        self.source.errors.append(self.source.say(self.steps, complaint))

    def warn(self, remark: str) -> None:
        self.source.warnings.append(self.source.say(self.steps, remark))

    def get(self, key: str) -> Place | None:
        """What stands under a key; None when it is absent or null."""
        value = self.value.get(key)
        return None if value is None else Place(self.source, (*self.steps, key), value)

    def at(self, key: str) -> Place:
        """The place of a key, present or not, to complain about."""
        return Place(self.source, (*self.steps, key), None)

    def items(self) -> Iterator[tuple[str, Place]]:
        """The keys that hold something."""
        for key, value in self.value.items():
            if value is not None:
                yield key, Place(self.source, (*self.steps, key), value)

    def elements(self) -> Iterator[Place]:
        for index, value in enumerate(self.value):
            yield Place(self.source, (*self.steps, index), value)

    def is_mapping(self) -> bool:
        """True for a mapping; anything else is complained of."""
        if not isinstance(self.value, dict):
            self.error("must be a mapping of keys to values")
        return isinstance(self.value, dict)

    def is_list(self) -> bool:
        if not isinstance(self.value, list):
            self.error("must be a list")
        return isinstance(self.value, list)

    def text(self) -> str:
        """The text that stands here; anything else is complained of and read as empty."""
        if isinstance(self.value, str):
            return self.value.strip()
        self.error("must be text (put it in quotes)")
        return ""


def read(path: str) -> Source:
    """Reads a file. Raises ConfigError."""
    name = Path(path).name
    try:
        data = Path(path).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{name} line {line}: the file is not UTF-8 text.") from None
    return read_text(text, name)


def read_text(text: str, name: str) -> Source:
    """Reads a text. Raises ConfigError with the line where YAML itself is broken."""
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{name} is larger than {MAX_BYTES // 2**20} MB.")
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                raise ConfigError(f"{name} is empty.")
            reading = _Reading(loader, name)
            data = reading.value(node, ())
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{name}{line}: {error.problem or error.context}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: {str(error).splitlines()[0]}.") from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply.") from None
    return Source(name, data, reading.lines, errors=reading.errors)


class _Reading:
    """Turns YAML's nodes into plain values."""

    def __init__(self, loader: yaml.SafeLoader, name: str) -> None:
        self.loader = loader
        self.name = name
        self.lines: dict[Steps, int] = {}
        self.errors: list[str] = []
        self._inside: set[int] = set()
        self._count = 0

    def value(self, node: yaml.Node, steps: Steps) -> Any:
        self._count += 1
        if self._count > MAX_NODES or id(node) in self._inside:
            raise ConfigError(f"{self.name} line {node.start_mark.line + 1}: the aliases grow without end.")
        self.lines.setdefault(steps, node.start_mark.line + 1)
        self._inside.add(id(node))
        try:
            match node:
                case yaml.MappingNode():
                    return self._mapping(node, steps)
                case yaml.SequenceNode():
                    return [self.value(item, (*steps, index)) for index, item in enumerate(node.value)]
                case yaml.ScalarNode(tag=tag) if tag == TIMESTAMP:
                    return node.value  # api_version: 2024-10-21 means the text
                case _:
                    return self._scalar(node, steps)
        finally:
            self._inside.discard(id(node))

    def _scalar(self, node: yaml.Node, steps: Steps) -> Any:
        value = self.loader.construct_object(node)
        match value:
            case None | bool() | int():
                return value
            case float() if math.isfinite(value):
                return value
            case str() if "\0" not in value and not SURROGATE.search(value):
                return value
            case _:
                self._complain(node, steps, "must be text, a number, true or false")
                return None

    def _mapping(self, node: yaml.MappingNode, steps: Steps) -> dict[str, Any]:
        self._refuse_repetition(node, steps)
        self.loader.flatten_mapping(node)
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                self._complain(key_node, steps, "a key must be text")
                continue
            self.lines[(*steps, key)] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, (*steps, key))
        return found

    def _refuse_repetition(self, node: yaml.MappingNode, steps: Steps) -> None:
        """Before merge keys (`<<`) are written out, since these may be overridden."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.value != "<<":
                if key_node.value in seen:
                    self._complain(key_node, (*steps, key_node.value), "stands twice")
                seen.add(key_node.value)

    def _complain(self, node: yaml.Node, steps: Steps, complaint: str) -> None:
        where = f" {written(steps)}" if steps else ""
        self.errors.append(f"{self.name} line {node.start_mark.line + 1}:{where} {complaint}")
