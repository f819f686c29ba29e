"""What an upload asks for: checked as far as it is known before a byte is stored, and again at the end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from files import rules, services
from files.models import FileRules
from portal.rest import json
from portal.rest.request import ApiRequest
from portal.services import catalog
from portal.services.access import Caller
from providers import registry
from providers.errors import InvalidRequest, ModelNotFound

MOST_TARGETS = 100
UNNAMED = "upload"
"""What the SDKs call bytes that have no name."""

HEADERS = {
    "target-model-names": "target_model_names",
    "target-storage": "target_storage",
    "custom-llm-provider": "custom_llm_provider",
    "x-litellm-model": "model",
}
QUERY = {name: name for name in HEADERS.values()} | {"provider": "custom_llm_provider"}
FIELDS = frozenset({*HEADERS.values(), "purpose", "expires_after[anchor]", "expires_after[seconds]"})
LIST_ENDING = re.compile(r"\[\d*\]$")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Wishes:
    """An upload's checked wishes. `models` get their copy at once; `provider` stands only without them."""

    purpose: str
    storage: str
    models: tuple[catalog.ModelEntry, ...]
    provider: str | None
    expires_in: int | None


class FileForm:
    """Collects the wishes of one upload from path, header, query and body, in any order.

    Places that contradict each other are refused by name, so it never matters which of them would win.
    """

    def __init__(self, caller: Caller, team_rules: FileRules) -> None:
        self.caller = caller
        self.rules = team_rules
        self._given: dict[str, dict[str, list[str]]] = {}

    def read_address(self, request: ApiRequest, provider: str | None) -> None:
        if provider is not None:
            self._put("custom_llm_provider", "path", [provider])
        for header, name in HEADERS.items():
            if header in request.lower_headers:
                self._put(name, f"header {header}", [request.lower_headers[header]])
        for parameter, values in request.GET.lists():
            known = QUERY.get(LIST_ENDING.sub("", parameter))
            if known is not None:
                self._put(known, f"query {parameter}", values)

    def read_field(self, name: str, value: str) -> None:
        if name == "expires_after":
            self._read_expiry(value)
            return
        if name not in FIELDS:
            name = LIST_ENDING.sub("", name)
        if name in FIELDS:
            self._put(name, "form field", [value])

    def check(self) -> Wishes:
        """Everything given so far. Raises for what is wrong; what is missing may still come."""
        targets = _names(self._one_place("target_model_names"))
        single = self._one("model")
        if single and targets and targets != [single]:
            raise InvalidRequest(
                f"model ({single}) and target_model_names ({', '.join(targets)}) contradict each other.",
                param="model",
            )
        purpose = self._one("purpose")
        if purpose:
            services.check_purpose(purpose)
        provider = self.provider()
        param = "target_model_names" if targets else "model"
        names = targets or ([single] if single else [])
        return Wishes(
            purpose=purpose,
            storage=rules.storage_for(self.rules, self._one("target_storage")),
            models=tuple(_model(name, self.caller, param) for name in names),
            provider=provider if not names else None,
            expires_in=self._expires_in(),
        )

    def finish(self) -> Wishes:
        """The wishes, now complete. Raises InvalidRequest for what is missing too."""
        wishes = self.check()
        if not wishes.purpose:
            raise InvalidRequest("The form has no purpose.", param="purpose", code="missing_parameter")
        if self._one("expires_after[seconds]") and not self._one("expires_after[anchor]"):
            raise InvalidRequest("expires_after needs an anchor.", param="expires_after[anchor]")
        if self._one("expires_after[anchor]") and not self._one("expires_after[seconds]"):
            raise InvalidRequest("expires_after needs seconds.", param="expires_after[seconds]")
        return wishes

    def provider(self) -> str | None:
        """The provider that is asked for alone. Raises InvalidRequest for an unknown one."""
        name = self._one("custom_llm_provider")
        if name:
            _check_provider(name)
        return name or None

    def _put(self, name: str, place: str, values: Iterable[str]) -> None:
        given = [value for value in values if value.strip()]
        if given:
            self._given.setdefault(name, {}).setdefault(place, []).extend(given)

    def _one_place(self, name: str) -> list[str]:
        """The values of one name. Raises InvalidRequest when two places do not say the same."""
        places = self._given.get(name, {})
        (first, values), *others = places.items() if places else [("", [])]
        for place, further in others:
            if set(_names(further)) != set(_names(values)):
                raise InvalidRequest(
                    f"{name} is given twice with different values: {first} and {place}.", param=name
                )
        return values

    def _one(self, name: str) -> str:
        values = {value.strip() for value in self._one_place(name)} - {""}
        if len(values) > 1:
            raise InvalidRequest(f"{name} is given more than once with different values.", param=name)
        return values.pop() if values else ""

    def _read_expiry(self, value: str) -> None:
        """`expires_after` as one JSON object, as some clients write it."""
        written = json.parse(value.encode()) if value.strip() else {}
        if not isinstance(written, Mapping):
            raise InvalidRequest("expires_after must be an object.", param="expires_after")
        for part in ("anchor", "seconds"):
            if part in written:
                self._put(f"expires_after[{part}]", "form field", [str(written[part])])

    def _expires_in(self) -> int | None:
        anchor, seconds = self._one("expires_after[anchor]"), self._one("expires_after[seconds]")
        if anchor and anchor != "created_at":
            raise InvalidRequest(
                "The anchor of expires_after must be created_at.", param="expires_after[anchor]"
            )
        if not seconds:
            return None
        number = whole_number(seconds)
        services.check_life(number)
        return number


def display_name(filename: str) -> str:
    """The last part of a client's filename, for people to read; no path is ever made of it."""
    name = re.split(r"[/\\]", filename)[-1].strip()
    if CONTROL.search(filename) or name in {".", ".."}:
        raise InvalidRequest("The filename holds characters that no filename may have.", param="file")
    if len(name) > services.LONGEST_FILENAME:
        raise InvalidRequest(
            f"The filename is longer than {services.LONGEST_FILENAME} characters.", param="file"
        )
    return name or UNNAMED


def whole_number(written: str) -> int:
    """A number as a form or a query writes it; -1, which no bound accepts, for anything else."""
    return int(written) if written.isascii() and written.isdigit() and len(written) < 10 else -1


def _names(values: Iterable[str]) -> list[str]:
    """Names of a comma list, a JSON list or repeated values, each once, in their order."""
    found: dict[str, None] = {}
    for value in values:
        for name in _parts(value.strip()):
            if name.strip():
                found[name.strip()] = None
    if len(found) > MOST_TARGETS:
        raise InvalidRequest(f"At most {MOST_TARGETS} models can be named.", param="target_model_names")
    return list(found)


def _parts(value: str) -> list[str]:
    if not value.startswith("["):
        return value.split(",")
    listed = json.parse(value.encode())
    if not (isinstance(listed, list) and all(isinstance(name, str) for name in listed)):
        raise InvalidRequest("target_model_names must list names.", param="target_model_names")
    return listed


def _model(name: str, caller: Caller, param: str) -> catalog.ModelEntry:
    try:
        return catalog.find_model(name, caller)
    except ModelNotFound as error:
        raise ModelNotFound(error.message, param=param) from None


def _check_provider(name: str) -> None:
    try:
        registry.provider(name)
    except InvalidRequest as error:
        raise InvalidRequest(error.message, param="custom_llm_provider", code=error.code) from None
