from __future__ import annotations

from tests.fakes.answers import called_tools

TOOLS = {"get_weather": {"type": "object", "properties": {"city": {"type": "string"}}}, "tax": {}}


def test_tools_are_called_by_name_in_order_with_what_follows() -> None:
    assert called_tools('call tax and get_weather {"city": "Rome"}', TOOLS) == [
        ("tax", {}),
        ("get_weather", {"city": "Rome"}),
    ]


def test_a_call_that_names_no_offered_tool_is_no_call() -> None:
    assert called_tools("Please call me tomorrow", TOOLS) == []
