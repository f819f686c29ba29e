"""The OpenAI fake as one aiohttp application under /v1."""

from __future__ import annotations

from aiohttp import web

from tests.fakes.control import PREFIX, Handler, application
from tests.fakes.openai import chat, embeddings, errors, files, models, uploads
from tests.fakes.openai.state import OpenAIFake


@web.middleware
async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors in OpenAI's envelope, and its headers on every answer."""
    try:
        response = await handler(request)
    except errors.OpenAIError as error:
        response = errors.respond(error)
    except web.HTTPRequestEntityTooLarge:
        response = errors.respond(errors.OpenAIError(413, "The request is too large."))
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        message = f"Invalid URL ({request.method} {request.path})"
        response = errors.respond(errors.OpenAIError(404, message))
    if not response.prepared and not request.path.startswith(PREFIX):
        response.headers.update(errors.answer_headers())
    return response


def openai_application() -> web.Application:
    routes = [
        web.get("/v1/models", models.list_models),
        web.get("/v1/models/{model:.+}", models.get_model),
        web.post("/v1/files", files.create_file),
        web.get("/v1/files", files.list_files),
        web.get("/v1/files/{file_id}", files.get_file),
        web.delete("/v1/files/{file_id}", files.delete_file),
        web.get("/v1/files/{file_id}/content", files.file_content),
        web.post("/v1/uploads", uploads.create_upload),
        web.post("/v1/uploads/{upload_id}/parts", uploads.add_part),
        web.post("/v1/uploads/{upload_id}/complete", uploads.complete_upload),
        web.post("/v1/uploads/{upload_id}/cancel", uploads.cancel_upload),
        web.post("/v1/chat/completions", chat.complete),
        web.post("/v1/embeddings", embeddings.embed),
    ]
    return application(OpenAIFake(), routes, [refuse])
