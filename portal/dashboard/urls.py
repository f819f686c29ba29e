"""Addresses of the browser's pages."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, path

from portal.dashboard import docs, files, keys, models, overview, playground, providers, sign_in

urlpatterns: list[URLPattern] = [
    path("", overview.show, name="overview"),
    path("setup/<str:token>/", sign_in.set_up, name="setup"),
    path("login/", sign_in.SignIn.as_view(), name="login"),
    path("logout/", LogoutView.as_view(next_page="login"), name="logout"),
    path("team/", sign_in.switch_team, name="switch-team"),
    path("files/", files.show_all, name="files"),
    path("files/states/", files.show_states, name="file-states"),
    path("files/<str:file_id>/", files.show, name="file"),
    path("files/<str:file_id>/copies/", files.show_copies, name="file-copies"),
    path("files/<str:file_id>/copies/<int:pk>/again/", files.send_again, name="send-copy-again"),
    path("files/<str:file_id>/delete/", files.delete, name="delete-file"),
    path("playground/", playground.show, name="playground"),
    path("keys/", keys.show_all, name="keys"),
    path("keys/new/", keys.add, name="add-key"),
    path("keys/<int:pk>/block/", keys.block, name="block-key"),
    path("keys/<int:pk>/unblock/", keys.unblock, name="unblock-key"),
    path("keys/<int:pk>/delete/", keys.delete, name="delete-key"),
    path("models/", models.show_all, name="models"),
    path("models/new/", models.add, name="add-model"),
    path("models/test/", models.test, name="test-model"),
    path("models/choices/", models.choices, name="model-choices"),
    path("models/<int:pk>/", models.edit, name="edit-model"),
    path("models/<int:pk>/delete/", models.delete, name="delete-model"),
    path("providers/", providers.show_all, name="providers"),
    path("providers/new/", providers.add, name="add-provider"),
    path("providers/test/", providers.test, name="test-provider"),
    path("providers/<int:pk>/", providers.edit, name="edit-provider"),
    path("providers/<int:pk>/delete/", providers.delete, name="delete-provider"),
    path("docs/", docs.show, name="docs"),
    path("docs/<slug:name>/", docs.show, name="docs-page"),
]
