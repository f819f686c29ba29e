"""The form of a deployment: provider model, public name, defaults, prices and limits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypedDict, cast

from django import forms
from django.db.models import QuerySet

from portal.models import Deployment, ProviderAccount
from portal.services import renaming
from portal.services.models import DeploymentSettings
from portal.services.renaming import References

MILLION = Decimal(1_000_000)
PRICES = {"input_price": "input_cost_per_token", "output_price": "output_cost_per_token"}
NUMBERS = ("order", "weight", "rpm", "tpm")
DROP = {"": None, "yes": True, "no": False}
CACHE = {"": None, "yes": True, "no": False}
CACHE_CHOICES = (("", "As the instance is set"), ("yes", "Keep them"), ("no", "Never keep them"))
DROP_CHOICES = (("", "As the instance is set"), ("yes", "Drop them"), ("no", "Refuse the request"))


REFERENCES = (
    ("follow", "Keys, teams, aliases and rules that name it follow"),
    ("alias", "They follow, and programs may go on sending the old name"),
    ("leave", "Aliases and rules follow; keys, teams and people stay as they are"),
)


class Names(TypedDict):
    provider_model: str
    model_name: str


class ModelForm(forms.Form):
    """One way to serve one public name. An empty account stands for the new one typed beside it."""

    account = forms.ModelChoiceField(
        ProviderAccount.objects.none(), required=False, empty_label="New account…", label="Account"
    )
    provider_model = forms.CharField(
        max_length=300,
        label="Provider model",
        help_text="The provider's own model id.",
        widget=forms.TextInput(
            attrs={"list": "provider-models", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    model_name = forms.CharField(
        max_length=200,
        required=False,
        label="Name for clients",
        help_text="What callers send as model. Blank: the same as the provider model.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    input_price = forms.DecimalField(
        required=False, min_value=Decimal(0), label="Input price", help_text="Dollars per million tokens."
    )
    output_price = forms.DecimalField(
        required=False, min_value=Decimal(0), label="Output price", help_text="Dollars per million tokens."
    )
    order = forms.IntegerField(
        required=False, min_value=1, label="Order", help_text="Lower numbers are asked first."
    )
    weight = forms.IntegerField(
        required=False, min_value=0, label="Weight", help_text="Share of calls among equal orders."
    )
    rpm = forms.IntegerField(required=False, min_value=1, label="Requests per minute")
    tpm = forms.IntegerField(required=False, min_value=1, label="Tokens per minute")
    tags = forms.CharField(
        required=False,
        label="Tags",
        help_text="With commas. Where tags choose deployments: the calls that this one takes.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    drop_params = forms.ChoiceField(
        choices=DROP_CHOICES, required=False, label="Parameters the provider does not know"
    )
    cache = forms.ChoiceField(
        choices=CACHE_CHOICES,
        required=False,
        label="Answers to repeated requests",
        help_text="Kept for a while and given again to the same team, without asking the provider.",
    )
    references = forms.ChoiceField(choices=REFERENCES, required=False, label="If the name changes")
    params = forms.JSONField(
        required=False,
        label="Default parameters",
        help_text='JSON, for example {"temperature": 0.2}. What callers send wins.',
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
    )

    ESSENTIALS = ("provider_model", "model_name")

    def __init__(
        self,
        *args: Any,
        accounts: QuerySet[ProviderAccount],
        deployment: Deployment | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        choice = self.fields["account"]
        assert isinstance(choice, forms.ModelChoiceField)
        choice.queryset = accounts
        self.info = dict(deployment.info) if deployment else {}
        if deployment:
            choice.required, choice.empty_label = True, None
            self.initial = initial_of(deployment)
            self.fields["references"].help_text = _told_of(deployment)
        else:
            self.initial = {"account": accounts.first()}
            del self.fields["references"]

    @property
    def essentials(self) -> list[forms.BoundField]:
        return [self[name] for name in self.ESSENTIALS]

    @property
    def extras(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name not in (*self.ESSENTIALS, "account", "references")]

    @property
    def asks_who_follows(self) -> bool:
        """Would another name leave the present one without a model?"""
        return "references" in self.fields and bool(self.fields["references"].help_text)

    @property
    def opens_extras(self) -> bool:
        """Is something set or wrong in the part that is folded away at first?"""
        names = [field.name for field in self.extras]
        return any(name in self.errors or self.initial.get(name) for name in names)

    def clean_params(self) -> dict[str, Any]:
        value = self.cleaned_data["params"]
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise forms.ValidationError("Enter a JSON object, in braces.")
        return value

    def settings(self) -> DeploymentSettings:
        """What the model services take beyond account and names."""
        values: dict[str, Any] = {name: self.cleaned_data[name] for name in NUMBERS}
        for ours, theirs in PRICES.items():
            price = self.cleaned_data[ours]
            values[theirs] = None if price is None else price / MILLION
        values["tags"] = [tag for part in self.cleaned_data["tags"].split(",") if (tag := part.strip())]
        values["drop_params"] = DROP[self.cleaned_data["drop_params"]]
        values["params"] = self.cleaned_data["params"]
        cache = CACHE[self.cleaned_data["cache"]]
        rest = {name: value for name, value in self.info.items() if name != "cache"}
        values["info"] = rest if cache is None else rest | {"cache": cache}
        return cast("DeploymentSettings", values)

    def who_follows(self) -> References:
        return cast("References", self.cleaned_data.get("references") or renaming.FOLLOW)

    def names(self) -> Names:
        provider_model = self.cleaned_data["provider_model"]
        return {
            "provider_model": provider_model,
            "model_name": self.cleaned_data["model_name"] or provider_model,
        }


def _told_of(deployment: Deployment) -> str:
    """What a new name would touch; "" where other deployments keep the present one."""
    if deployment.model.deployments.exclude(pk=deployment.pk).exists():
        return ""
    counts = renaming.mentions(deployment.model.name)
    named = renaming.told(counts) or "No key and no team"
    verb = "names" if sum(counts.values()) < 2 else "name"
    return f"{named} {verb} it now. Who reaches it by a pattern keeps it."


def initial_of(deployment: Deployment) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(deployment, name) for name in NUMBERS}
    for ours, theirs in PRICES.items():
        price = getattr(deployment, theirs)
        values[ours] = None if price is None else (price * MILLION).normalize()
    drop = {value: word for word, value in DROP.items()}[deployment.drop_params]
    cache = {value: word for word, value in CACHE.items()}.get(deployment.info.get("cache"), "")
    return values | {
        "cache": cache,
        "account": deployment.account_id,
        "provider_model": deployment.provider_model,
        "model_name": deployment.model.name,
        "tags": ", ".join(deployment.tags),
        "drop_params": drop,
        "params": deployment.params or None,
    }
