"""The messages the Gemini API takes, and the strict reading of protobuf JSON (https://ai.google.dev/api/generate-content)."""

from __future__ import annotations

import base64
import binascii
import re
from functools import cache
from typing import Any

from tests.fakes.gemini.errors import TYPES, GeminiError

# A type is the name of a scalar or a message, a list "[T]", a map "{T}", or an enum "A|B" (read in any case).
CATEGORIES = "|".join(
    "HARM_CATEGORY_" + name
    for name in [
        "UNSPECIFIED",
        "HARASSMENT",
        "HATE_SPEECH",
        "SEXUALLY_EXPLICIT",
        "DANGEROUS_CONTENT",
        "CIVIC_INTEGRITY",
        "JAILBREAK",
        "IMAGE_HATE",
        "IMAGE_DANGEROUS_CONTENT",
        "IMAGE_HARASSMENT",
        "IMAGE_SEXUALLY_EXPLICIT",
    ]
)
THRESHOLDS = (
    "HARM_BLOCK_THRESHOLD_UNSPECIFIED|"
    "BLOCK_LOW_AND_ABOVE|BLOCK_MEDIUM_AND_ABOVE|BLOCK_ONLY_HIGH|BLOCK_NONE|OFF"
)
RESOLUTIONS = (
    "MEDIA_RESOLUTION_UNSPECIFIED|MEDIA_RESOLUTION_LOW|MEDIA_RESOLUTION_MEDIUM|MEDIA_RESOLUTION_HIGH"
)
TASKS = (
    "TASK_TYPE_UNSPECIFIED|RETRIEVAL_QUERY|RETRIEVAL_DOCUMENT|SEMANTIC_SIMILARITY|CLASSIFICATION|CLUSTERING|"
    "QUESTION_ANSWERING|FACT_VERIFICATION|CODE_RETRIEVAL_QUERY"
)

Shapes = dict[str, dict[str, str]]

SHAPES: Shapes = {
    "GenerateContentRequest": {
        "model": "string",
        "contents": "[Content]",
        "systemInstruction": "Content",
        "tools": "[Tool]",
        "toolConfig": "ToolConfig",
        "safetySettings": "[SafetySetting]",
        "generationConfig": "GenerationConfig",
        "cachedContent": "string",
        "serviceTier": "UNSPECIFIED|FLEX|STANDARD|PRIORITY",
        "store": "bool",
        "labels": "{string}",
        "continuationToken": "bytes",
    },
    "Content": {"role": "string", "parts": "[Part]"},
    "Part": {
        "text": "string",
        "inlineData": "Blob",
        "fileData": "FileData",
        "functionCall": "FunctionCall",
        "functionResponse": "FunctionResponse",
        "executableCode": "ExecutableCode",
        "codeExecutionResult": "CodeExecutionResult",
        "toolCall": "ToolCall",
        "toolResponse": "ToolResponse",
        "thought": "bool",
        "thoughtSignature": "bytes",
        "videoMetadata": "VideoMetadata",
        "mediaResolution": "MediaResolution",
        "mediaProcessing": "STATIC|AGENTIC",
        "speechMetadata": "SpeechMetadata",
        "partMetadata": "struct",
    },
    "Blob": {"mimeType": "string", "data": "bytes", "displayName": "string"},
    "FileData": {"mimeType": "string", "fileUri": "string", "displayName": "string"},
    "FunctionCall": {"id": "string", "name": "string", "args": "struct"},
    "FunctionResponse": {
        "id": "string",
        "name": "string",
        "response": "struct",
        "parts": "[FunctionResponsePart]",
        "willContinue": "bool",
        "scheduling": "SCHEDULING_UNSPECIFIED|SILENT|WHEN_IDLE|INTERRUPT",
    },
    "FunctionResponsePart": {"inlineData": "Blob", "fileData": "FileData"},
    "ExecutableCode": {"language": "LANGUAGE_UNSPECIFIED|PYTHON", "code": "string", "id": "string"},
    "CodeExecutionResult": {
        "outcome": "OUTCOME_UNSPECIFIED|OUTCOME_OK|OUTCOME_FAILED|OUTCOME_DEADLINE_EXCEEDED",
        "output": "string",
        "id": "string",
    },
    "ToolCall": {"id": "string", "toolType": "string", "args": "struct"},
    "ToolResponse": {"id": "string", "toolType": "string", "response": "struct"},
    "VideoMetadata": {"startOffset": "duration", "endOffset": "duration", "fps": "number"},
    "MediaResolution": {"level": RESOLUTIONS + "|MEDIA_RESOLUTION_ULTRA_HIGH", "numTokens": "int"},
    "SpeechMetadata": {"speaker": "string", "style": "string"},
    "Tool": {
        "functionDeclarations": "[FunctionDeclaration]",
        "googleSearch": "GoogleSearch",
        "googleSearchRetrieval": "struct",
        "urlContext": "Empty",
        "codeExecution": "Empty",
        "googleMaps": "GoogleMaps",
        "fileSearch": "FileSearch",
        "computerUse": "ComputerUse",
        "mcpServers": "[McpServer]",
    },
    "Empty": {},
    "GoogleSearch": {"searchTypes": "struct", "timeRangeFilter": "struct"},
    "GoogleMaps": {"enableWidget": "bool"},
    "FileSearch": {"fileSearchStoreNames": "[string]", "topK": "int", "metadataFilter": "string"},
    "ComputerUse": {
        "environment": "ENVIRONMENT_UNSPECIFIED|ENVIRONMENT_BROWSER",
        "excludedPredefinedFunctions": "[string]",
    },
    "McpServer": {"name": "string", "streamableHttpTransport": "struct"},
    "FunctionDeclaration": {
        "name": "string",
        "description": "string",
        "parameters": "Schema",
        "parametersJsonSchema": "any",
        "response": "Schema",
        "responseJsonSchema": "any",
        "behavior": "UNSPECIFIED|BLOCKING|NON_BLOCKING",
    },
    "Schema": {
        "type": "TYPE_UNSPECIFIED|STRING|NUMBER|INTEGER|BOOLEAN|ARRAY|OBJECT|NULL",
        "format": "string",
        "title": "string",
        "description": "string",
        "nullable": "bool",
        "enum": "[string]",
        "items": "Schema",
        "minItems": "int",
        "maxItems": "int",
        "properties": "{Schema}",
        "propertyOrdering": "[string]",
        "required": "[string]",
        "minProperties": "int",
        "maxProperties": "int",
        "minLength": "int",
        "maxLength": "int",
        "pattern": "string",
        "minimum": "number",
        "maximum": "number",
        "anyOf": "[Schema]",
        "default": "any",
        "example": "any",
    },
    "ToolConfig": {
        "functionCallingConfig": "FunctionCallingConfig",
        "retrievalConfig": "RetrievalConfig",
        "includeServerSideToolInvocations": "bool",
    },
    "FunctionCallingConfig": {
        "mode": "MODE_UNSPECIFIED|AUTO|ANY|NONE|VALIDATED",
        "allowedFunctionNames": "[string]",
    },
    "RetrievalConfig": {"latLng": "LatLng", "languageCode": "string"},
    "LatLng": {"latitude": "number", "longitude": "number"},
    "SafetySetting": {"category": CATEGORIES, "threshold": THRESHOLDS},
    "GenerationConfig": {
        "temperature": "number",
        "topP": "number",
        "topK": "int",
        "candidateCount": "int",
        "maxOutputTokens": "int",
        "stopSequences": "[string]",
        "presencePenalty": "number",
        "frequencyPenalty": "number",
        "seed": "int",
        "responseLogprobs": "bool",
        "logprobs": "int",
        "responseMimeType": "string",
        "responseSchema": "Schema",
        "responseJsonSchema": "any",
        "_responseJsonSchema": "any",
        "responseFormat": "[struct]",
        "responseModalities": "[MODALITY_UNSPECIFIED|TEXT|IMAGE|AUDIO|VIDEO]",
        "mediaResolution": RESOLUTIONS,
        "speechConfig": "SpeechConfig",
        "thinkingConfig": "ThinkingConfig",
        "imageConfig": "ImageConfig",
        "enableEnhancedCivicAnswers": "bool",
        "audioTranscriptionConfig": "struct",
        "translationConfig": "struct",
    },
    "SpeechConfig": {
        "voiceConfig": "VoiceConfig",
        "languageCode": "string",
        "multiSpeakerVoiceConfig": "MultiSpeakerVoiceConfig",
    },
    "VoiceConfig": {
        "prebuiltVoiceConfig": "PrebuiltVoiceConfig",
        "voice": "string",
        "replicatedVoiceConfig": "struct",
    },
    "PrebuiltVoiceConfig": {"voiceName": "string"},
    "MultiSpeakerVoiceConfig": {"speakerVoiceConfigs": "[SpeakerVoiceConfig]"},
    "SpeakerVoiceConfig": {"speaker": "string", "voiceConfig": "VoiceConfig"},
    "ThinkingConfig": {
        "includeThoughts": "bool",
        "thinkingBudget": "int",
        "thinkingLevel": "THINKING_LEVEL_UNSPECIFIED|MINIMAL|LOW|MEDIUM|HIGH",
    },
    "ImageConfig": {"aspectRatio": "string", "imageSize": "string"},
    "CountTokensRequest": {
        "model": "string",
        "contents": "[Content]",
        "generateContentRequest": "GenerateContentRequest",
    },
    "EmbedContentRequest": {
        "model": "string",
        "content": "Content",
        "taskType": TASKS,
        "title": "string",
        "outputDimensionality": "int",
    },
    "BatchEmbedContentsRequest": {"requests": "[EmbedContentRequest]"},
    "CachedContent": {
        "name": "string",
        "model": "string",
        "displayName": "string",
        "contents": "[Content]",
        "systemInstruction": "Content",
        "tools": "[Tool]",
        "toolConfig": "ToolConfig",
        "ttl": "duration",
        "expireTime": "string",
    },
    "CreateFileRequest": {"file": "File"},
    "File": {"name": "string", "displayName": "string", "mimeType": "string", "sizeBytes": "int"},
}

DURATION = re.compile(r"\d+(\.\d{1,9})?s")


@cache
def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda found: "_" + found[0].lower(), name)


def checked(body: Any, shape: str, known: Shapes = SHAPES) -> dict[str, Any]:
    """The body with camelCase names and absent nulls, or Google's 400 naming every violation."""
    violations: list[tuple[str, str]] = []
    value = _read(body, shape, "", violations, known)
    if violations:
        description = "\n".join(text for _, text in violations)
        details = {
            "@type": TYPES + "BadRequest",
            "fieldViolations": [{"field": path, "description": text} for path, text in violations],
        }
        raise GeminiError(400, description, details=[details])
    return dict(value)


def _read(value: Any, kind: str, path: str, violations: list[tuple[str, str]], known: Shapes) -> Any:
    if kind.startswith("["):
        if isinstance(value, dict):
            # Seen in recorded traffic: Google takes a lone message for a list of one.
            value = [value]
        if not isinstance(value, list):
            violations.append((path, _wrong(path, kind, value)))
            return []
        return [_read(item, kind[1:-1], f"{path}[{n}]", violations, known) for n, item in enumerate(value)]
    if kind.startswith("{"):
        if not isinstance(value, dict):
            violations.append((path, _wrong(path, kind, value)))
            return {}
        inner = kind[1:-1]
        return {name: _read(item, inner, f"{path}.{name}", violations, known) for name, item in value.items()}
    if kind in known:
        return _read_message(value, kind, path, violations, known)
    return _read_scalar(value, kind, path, violations)


def _read_message(
    value: Any, shape: str, path: str, violations: list[tuple[str, str]], known: Shapes
) -> dict[str, Any]:
    if not isinstance(value, dict):
        violations.append((path, _wrong(path, shape, value)))
        return {}
    read: dict[str, Any] = {}
    fields = {name: name for name in known[shape]} | {snake(name): name for name in known[shape]}
    for given, item in value.items():
        name = fields.get(given)
        if name is None:
            where = f" at '{path}'" if path else ""
            text = f'Invalid JSON payload received. Unknown name "{given}"{where}: Cannot find field.'
            violations.append((path, text))
        elif name in read:
            violations.append((path, f"Invalid value at '{path}': field '{name}' is given twice."))
        elif item is not None:
            read[name] = _read(
                item, known[shape][name], f"{path}.{snake(name)}".lstrip("."), violations, known
            )
    return read


def _read_scalar(value: Any, kind: str, path: str, violations: list[tuple[str, str]]) -> Any:
    match kind:
        case "any":
            return value
        case "string":
            good = isinstance(value, str)
        case "bool":
            good = isinstance(value, bool)
        case "struct":
            good = isinstance(value, dict)
        case "int":
            good = _is_number(value) and float(value).is_integer()
            value = int(float(value)) if good else value
        case "number":
            good = _is_number(value)
            value = float(value) if good else value
        case "bytes":
            good = isinstance(value, str) and decoded(value) is not None
        case "duration":
            good = isinstance(value, str) and DURATION.fullmatch(value) is not None
        case _:
            good = isinstance(value, str) and value.upper() in kind.split("|")
            value = value.upper() if good else value
    if not good:
        violations.append((path, _wrong(path, kind, value)))
    return value


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"-?\d+(\.\d+)?", value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _wrong(path: str, kind: str, value: Any) -> str:
    shown = f'"{value[:60]}"' if isinstance(value, str) else type(value).__name__
    return f"Invalid value at '{path}' ({kind.partition('|')[0]}), {shown}"


def decoded(text: str) -> bytes | None:
    """Base64, plain or URL-safe, padded or not; None when it is neither."""
    plain = text.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None
