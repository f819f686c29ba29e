"""The messages that Vertex takes, by what they have more and less than Gemini's.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.publishers.models/generateContent
"""

from __future__ import annotations

from tests.fakes.gemini.shapes import SHAPES, Shapes

LESS: dict[str, set[str]] = {
    "GenerateContentRequest": {"model", "store"},
    "Part": {"toolCall", "toolResponse", "partMetadata"},
    "FunctionResponse": {"willContinue"},
    "Tool": {"fileSearch"},
    "ToolConfig": {"includeServerSideToolInvocations"},
    "GenerationConfig": {"enableEnhancedCivicAnswers", "_responseJsonSchema"},
}
MORE: dict[str, dict[str, str]] = {
    "GenerateContentRequest": {"modelArmorConfig": "struct", "outputConfig": "struct"},
    "SafetySetting": {"method": "HARM_BLOCK_METHOD_UNSPECIFIED|SEVERITY|PROBABILITY"},
    "Tool": {"retrieval": "struct", "enterpriseWebSearch": "struct"},
    "FunctionCallingConfig": {"streamFunctionCallArguments": "bool"},
    "GenerationConfig": {"audioTimestamp": "bool", "routingConfig": "struct", "modelConfig": "struct"},
    "GoogleSearch": {"excludeDomains": "[string]", "blockingConfidence": "string"},
    "ImageConfig": {
        "personGeneration": "string",
        "prominentPeople": "string",
        "imageOutputOptions": "struct",
    },
}

_CHANGED: Shapes = {
    name: {field: kind for field, kind in fields.items() if field not in LESS.get(name, ())}
    | MORE.get(name, {})
    for name, fields in SHAPES.items()
}
VERTEX_SHAPES: Shapes = _CHANGED | {
    "CountTokensRequest": {
        name: _CHANGED["GenerateContentRequest"][name]
        for name in ("contents", "systemInstruction", "tools", "generationConfig")
    }
    | {"model": "string"}
}
