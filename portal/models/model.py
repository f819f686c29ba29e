"""Models, the public names callers send, and the deployments that serve them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.db import models
from django.utils import timezone

from portal.models.account import ProviderAccount

if TYPE_CHECKING:
    from files.models import Caller


class ModelQuerySet(models.QuerySet["Model"]):
    def visible_to(self, caller: Caller) -> ModelQuerySet:
        """Models this caller may use; patterns are matched in Python, the table is small."""
        if caller.is_admin:
            return self
        allowed = [pk for pk, name in self.values_list("pk", "name") if caller.may_use(name)]
        return self.filter(pk__in=allowed)


class Model(models.Model):
    """A public model name (LiteLLM's `model_name`)."""

    name = models.CharField(max_length=200, unique=True)
    mode = models.CharField(max_length=32, default="chat")
    info = models.JSONField(default=dict, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ModelQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


def new_deployment_id() -> str:
    return uuid.uuid4().hex


class Deployment(models.Model):
    """One way to serve a Model: an account and the provider's own model id (an entry of `model_list`).

    `params` are default request parameters, `info` is LiteLLM's `model_info` (base_model, access_groups …);
    prices are dollars per token, null where unknown.
    """

    deployment_id = models.CharField(max_length=128, unique=True, default=new_deployment_id)
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="deployments")
    account = models.ForeignKey(ProviderAccount, on_delete=models.PROTECT, related_name="deployments")
    provider_model = models.CharField(max_length=300)
    params = models.JSONField(default=dict, blank=True)
    info = models.JSONField(default=dict, blank=True)
    weight = models.PositiveIntegerField(default=1)
    order = models.PositiveIntegerField(default=1)
    rpm = models.PositiveIntegerField(null=True, blank=True)
    tpm = models.PositiveIntegerField(null=True, blank=True)
    timeout = models.FloatField(null=True, blank=True)
    stream_timeout = models.FloatField(null=True, blank=True)
    max_retries = models.PositiveSmallIntegerField(null=True, blank=True)
    allowed_fails = models.PositiveIntegerField(null=True, blank=True)
    cooldown_time = models.FloatField(null=True, blank=True)
    tags = models.JSONField(default=list, blank=True)
    input_cost_per_token = models.DecimalField(max_digits=20, decimal_places=14, null=True, blank=True)
    output_cost_per_token = models.DecimalField(max_digits=20, decimal_places=14, null=True, blank=True)
    drop_params = models.BooleanField(null=True, blank=True)
    origin = models.CharField(max_length=16, default="browser")
    config_index = models.PositiveIntegerField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    last_test = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("order", "pk")

    def __str__(self) -> str:
        return f"{self.model} on {self.account}"
