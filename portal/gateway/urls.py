"""The gateway's addresses; OpenAI clients are configured with or without /v1, Google's with /gemini."""

from __future__ import annotations

from django.urls import path

from portal.gateway.native_views import NativeModel, NativeModels, NotPassedOn, VertexModel
from portal.gateway.views import ChatCompletions, Completions, Embeddings, TokenCounter

chat_completions = ChatCompletions.as_view()
completions = Completions.as_view()
embeddings = Embeddings.as_view()
native_model = NativeModel.as_view()
vertex_model = VertexModel.as_view()
not_passed_on = NotPassedOn.as_view()

VERTEX_PROJECT = "vertex_ai/<slug:version>/projects/<str:project>/locations/<str:location>"

urlpatterns = [
    path("v1/chat/completions", chat_completions),
    path("chat/completions", chat_completions),
    path("openai/deployments/<path:model>/chat/completions", chat_completions),
    path("v1/engines/<path:model>/chat/completions", chat_completions),
    path("v1/completions", completions),
    path("completions", completions),
    path("openai/deployments/<path:model>/completions", completions),
    path("v1/engines/<path:model>/completions", completions),
    path("v1/embeddings", embeddings),
    path("embeddings", embeddings),
    path("openai/deployments/<path:model>/embeddings", embeddings),
    path("v1/engines/<path:model>/embeddings", embeddings),
    path("utils/token_counter", TokenCounter.as_view()),
    path("gemini/<slug:version>/models", NativeModels.as_view()),
    path("v1beta/models", NativeModels.as_view()),
    path("gemini/<slug:version>/models/<path:target>", native_model),
    path("v1beta/models/<path:target>", native_model),
    path(f"{VERTEX_PROJECT}/publishers/google/models/<path:target>", vertex_model),
    path("vertex_ai/<slug:version>/publishers/google/models/<path:target>", vertex_model),
    # /gemini/v1/files is a managed file's address, so v1 is named word by word.
    path("gemini/upload/<path:rest>", not_passed_on),
    path("gemini/v1beta/<path:rest>", not_passed_on),
    path("gemini/v1alpha/<path:rest>", not_passed_on),
    path("gemini/v1/cachedContents", not_passed_on),
    path(f"{VERTEX_PROJECT}/<path:rest>", not_passed_on),
]
