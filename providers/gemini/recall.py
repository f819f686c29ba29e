"""Which signatures a request will look for in the store, told before it is built.

https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

from providers.gemini import signatures, spec
from providers.gemini.contents import arguments_of, tool_calls
from providers.types import ChatCall


def recalls(call: ChatCall) -> list[str]:
    """Keys of the function calls in the conversation that come without their signature."""
    if spec.traits_of(call.model).generation < (2, 5):
        return []
    keys: list[str] = []
    for message in call.body["messages"]:
        if message.get("role") != "assistant":
            continue
        for call_id, name, arguments, holder in tool_calls(message):
            bare, suffixed = signatures.split_id(call_id)
            if suffixed is None and signatures.signature_in(holder) is None:
                keys.append(signatures.call_key(call.model, bare, name, arguments_of(arguments)))
    return keys
