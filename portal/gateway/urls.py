"""The gateway's addresses; OpenAI clients are configured with or without /v1."""

from __future__ import annotations

from django.urls import path

from portal.gateway.views import ChatCompletions

chat_completions = ChatCompletions.as_view()

urlpatterns = [
    path("v1/chat/completions", chat_completions),
    path("chat/completions", chat_completions),
    path("openai/deployments/<path:model>/chat/completions", chat_completions),
    path("v1/engines/<path:model>/chat/completions", chat_completions),
]
