"""Every address the product answers."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from portal.api.urls import urlpatterns as api
from portal.dashboard.urls import urlpatterns as dashboard
from portal.gateway.urls import urlpatterns as gateway

urlpatterns = [*gateway, *api, *dashboard, path("admin/", admin.site.urls)]
