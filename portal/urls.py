"""Every address the product answers."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path
from django.views.generic.base import RedirectView

from portal.api.google_urls import urlpatterns as google_files
from portal.api.management_urls import urlpatterns as management
from portal.api.urls import urlpatterns as api
from portal.dashboard.urls import urlpatterns as dashboard
from portal.gateway.urls import urlpatterns as gateway

# The raw records have no door of their own: one sign-in, with its second step, for all pages.
to_sign_in = RedirectView.as_view(pattern_name="login", query_string=True)

urlpatterns = [
    *google_files,
    *gateway,
    *api,
    *management,
    *dashboard,
    path("admin/login/", to_sign_in),
    path("admin/", admin.site.urls),
]
