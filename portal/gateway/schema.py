"""The gateway's requests and answers as the API's own documentation describes them."""

from __future__ import annotations

from typing import Any

_MESSAGE: dict[str, Any] = {
    "type": "object",
    "required": ["role"],
    "properties": {
        "role": {"type": "string", "enum": ["system", "developer", "user", "assistant", "tool", "function"]},
        "content": {
            "nullable": True,
            "oneOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["type"],
                        "properties": {"type": {"type": "string", "example": "text"}},
                        "additionalProperties": True,
                    },
                    "description": "Parts: text, image_url, input_audio, file. A file part names a managed "
                    'file as {"type": "file", "file": {"file_id": "file-…"}}.',
                },
            ],
        },
        "tool_calls": {"type": "array", "items": {"type": "object"}},
        "tool_call_id": {"type": "string"},
    },
    "additionalProperties": True,
}

_STEERING: dict[str, Any] = {
    "fallbacks": {
        "type": "array",
        "maxItems": 20,
        "items": {"oneOf": [{"type": "string"}, {"type": "object"}]},
        "description": "Models to ask in turn when this one fails, instead of those that the operator lists: "
        'names, or {"model": name, …} with parameters that replace the request\'s.',
    },
    "disable_fallbacks": {"type": "boolean", "description": "Ask no other model."},
    "timeout": {
        "type": "number",
        "maximum": 86400,
        "description": "Seconds for the whole call, retries included. Also x-litellm-timeout.",
    },
    "stream_timeout": {
        "type": "number",
        "maximum": 86400,
        "description": "Seconds for each piece of a stream, the first too. Also x-litellm-stream-timeout.",
    },
    "num_retries": {
        "type": "integer",
        "minimum": 0,
        "maximum": 100,
        "description": "Attempts after the first. Also x-litellm-num-retries.",
    },
    "tags": {
        "type": "array",
        "items": {"type": "string"},
        "description": "For the ledger, for budgets and for choosing deployments. Also x-litellm-tags.",
    },
    "cache": {
        "type": "object",
        "properties": {
            "ttl": {"type": "number", "minimum": 0, "description": "Seconds to keep this answer."},
            "s-maxage": {"type": "number", "minimum": 0, "description": "Seconds an answer may be old."},
            "no-cache": {"type": "boolean", "description": "Ask the model in any case."},
            "no-store": {"type": "boolean", "description": "Do not keep the answer."},
            "use-cache": {"type": "boolean", "description": "Needed where the cache is off by default."},
            "namespace": {"type": "string", "maxLength": 200},
        },
        "additionalProperties": False,
        "description": "About answers to equal requests of the same team, where the operator keeps them.",
    },
}

CHAT_REQUEST: dict[str, Any] = {
    "application/json": {
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": {"type": "string", "description": "A public model name."},
            "messages": {"type": "array", "minItems": 1, "items": _MESSAGE},
            "stream": {"type": "boolean", "default": False},
            "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
            "temperature": {"type": "number", "minimum": 0, "maximum": 2},
            "top_p": {"type": "number", "minimum": 0, "maximum": 1},
            "max_completion_tokens": {"type": "integer", "minimum": 1},
            "max_tokens": {"type": "integer", "minimum": 1},
            "n": {"type": "integer", "minimum": 1},
            "stop": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            "seed": {"type": "integer"},
            "tools": {"type": "array", "items": {"type": "object"}},
            "tool_choice": {"oneOf": [{"type": "string"}, {"type": "object"}]},
            "response_format": {"type": "object"},
            "reasoning_effort": {"type": "string"},
            "metadata": {"type": "object"},
            "user": {"type": "string"},
            "drop_params": {
                "type": "boolean",
                "description": "Leave out what the serving provider does not support, instead of refusing "
                "the request. What was left out is named in the x-portico-warnings header.",
            },
            "extra_body": {"type": "object", "description": "Parameters of the provider's own."},
            **_STEERING,
        },
        "additionalProperties": True,
    }
}

CHAT_ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "object": {"type": "string", "example": "chat.completion"},
        "created": {"type": "integer"},
        "model": {"type": "string"},
        "choices": {"type": "array", "items": {"type": "object"}},
        "usage": {"type": "object"},
    },
}

COMPLETION_REQUEST: dict[str, Any] = {
    "application/json": {
        "type": "object",
        "required": ["model", "prompt"],
        "properties": {
            "model": {"type": "string", "description": "A public name of a chat model."},
            "prompt": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            "echo": {"type": "boolean", "description": "Repeat the prompt before each answer."},
            "logprobs": {"type": "integer", "minimum": 0, "maximum": 5},
            "max_tokens": {"type": "integer", "minimum": 1},
            "n": {"type": "integer", "minimum": 1},
            "stop": {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            "stream": {"type": "boolean", "default": False},
            "temperature": {"type": "number", "minimum": 0, "maximum": 2},
        },
        "additionalProperties": True,
    }
}
COMPLETION_ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "object": {"type": "string", "example": "text_completion"},
        "created": {"type": "integer"},
        "model": {"type": "string"},
        "choices": {"type": "array", "items": {"type": "object"}},
        "usage": {"type": "object"},
    },
}

EMBEDDING_REQUEST: dict[str, Any] = {
    "application/json": {
        "type": "object",
        "required": ["model", "input"],
        "properties": {
            "model": {"type": "string"},
            "input": {
                "oneOf": [{"type": "string"}, {"type": "array", "items": {}}],
                "description": "A text or a list of texts; lists of tokens only on OpenAI's models.",
            },
            "dimensions": {"type": "integer", "minimum": 1},
            "encoding_format": {"type": "string", "enum": ["float", "base64"], "default": "float"},
            "task_type": {"type": "string", "description": "Google's models only."},
            "user": {"type": "string"},
            **_STEERING,
        },
        "additionalProperties": True,
    }
}
EMBEDDING_ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "object": {"type": "string", "example": "list"},
        "data": {"type": "array", "items": {"type": "object"}},
        "model": {"type": "string"},
        "usage": {"type": "object"},
    },
}

COUNT_REQUEST: dict[str, Any] = {
    "application/json": {
        "type": "object",
        "required": ["model"],
        "properties": {
            "model": {"type": "string"},
            "messages": {"type": "array", "items": _MESSAGE},
            "prompt": {"type": "string", "description": "Instead of messages."},
            "tools": {"type": "array", "items": {"type": "object"}},
        },
        "additionalProperties": True,
    }
}
COUNT_ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "total_tokens": {"type": "integer"},
        "request_model": {"type": "string"},
        "model_used": {"type": "string"},
        "tokenizer_type": {"type": "string", "description": "The provider that counted, or `estimate`."},
    },
}

ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": "string", "nullable": True},
                "code": {"type": "string"},
            },
        }
    },
}
