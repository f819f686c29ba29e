"""Azure's fake as one aiohttp application: a resource's two families of paths, and Entra's token endpoint."""

from __future__ import annotations

import re

from aiohttp import web

from tests.fakes.azure_openai import chat, files
from tests.fakes.azure_openai.state import AzureError, AzureFake, fake_of
from tests.fakes.azure_openai.versions import check_version
from tests.fakes.control import PREFIX, Handler, application, read_body
from tests.fakes.openai import errors, models

SECRET = re.compile(r"az-secret-([A-Za-z0-9_]+)-.+")
FAMILIES = ("/openai/v1", "/openai")


@web.middleware
async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors in Azure's own envelope, or in OpenAI's where the model behind it refuses."""
    try:
        response = await handler(request)
    except AzureError as error:
        response = web.json_response(error.body, status=error.status)
    except errors.OpenAIError as error:
        response = errors.respond(error)
    except web.HTTPRequestEntityTooLarge:
        response = errors.respond(errors.OpenAIError(413, "The request is too large."))
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        response = web.json_response({"error": {"code": "404", "message": "Resource not found"}}, status=404)
    if not response.prepared and not request.path.startswith(PREFIX):
        response.headers.update({"apim-request-id": "fake", "x-ms-region": "Sweden Central"})
    return response


def azure_application() -> web.Application:
    routes = [
        web.post("/{tenant}/oauth2/v2.0/token", token),
        web.post("/openai/v1/chat/completions", chat.complete),
        web.post("/openai/deployments/{deployment}/chat/completions", chat.complete),
        web.post("/openai/v1/embeddings", chat.embed),
        web.post("/openai/deployments/{deployment}/embeddings", chat.embed),
    ]
    for family in FAMILIES:
        routes += [
            web.get(f"{family}/models", list_models),
            web.post(f"{family}/files", files.create_file),
            web.get(f"{family}/files", files.list_files),
            web.get(f"{family}/files/{{file_id}}", files.get_file),
            web.delete(f"{family}/files/{{file_id}}", files.delete_file),
            web.get(f"{family}/files/{{file_id}}/content", files.file_content),
        ]
    return application(AzureFake(), routes, [refuse])


async def list_models(request: web.Request) -> web.Response:
    check_version(request)
    return await models.list_models(request)


async def token(request: web.Request) -> web.Response:
    """Entra's client credentials grant; the secret tells which resource the principal may use."""
    await read_body(request)
    form = await request.post()
    scope = str(form.get("scope", ""))
    found = SECRET.fullmatch(str(form.get("client_secret", "")))
    if form.get("grant_type") != "client_credentials" or not scope.endswith("/.default"):
        body = {"error": "invalid_request", "error_description": "AADSTS900144: a parameter is missing."}
        return web.json_response(body, status=400)
    if not found or not form.get("client_id"):
        body = {
            "error": "invalid_client",
            "error_description": "AADSTS7000215: Invalid client secret provided.",
        }
        return web.json_response(body, status=401)
    return web.json_response(fake_of(request).grant(found[1]))
