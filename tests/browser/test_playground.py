"""The playground in a browser: tools, schemas, stopping, waiting, code that repeats the request, replay."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NARROW, WIDE, Visit
from tests.fakes.server import FakeServers
from tests.product import Product

GEMINI, OPENAI = "gemini-3.5-flash", "gpt-5.4"
WEATHER = '[{"name": "weather", "parameters": {"type": "object", "properties": {"city": {}}}}]'
CHATS = "/chat/completions"


@pytest.fixture(scope="module")
def secret(seeded: Product) -> str:
    """A key; from now on requests are kept."""
    return seed(seeded, "keep_contents()")


@pytest.fixture
def tab(visit: Visit, secret: str) -> Visit:
    return visit


def seed(product: Product, what: str) -> str:
    return product.manage(
        "shell", "-v", "0", "-c", f"from tests.browser import seeding; seeding.{what}"
    ).strip()


def opened(tab: Visit, query: str = "") -> Page:
    page = tab.go(f"/playground/{query}")
    page.wait_for_load_state("networkidle")
    return page


def bodies(fakes: FakeServers) -> list[dict[str, Any]]:
    return [request["body"] for request in fakes.openai.requests(path=CHATS)]


def test_a_tool_is_called_answered_and_the_request_is_found_and_replayed(tab: Visit):
    page = opened(tab, f"?model={OPENAI}")
    charge = page.get_by_label("Charge to")
    charge.select_option(charge.locator("option", has_text="playing").get_attribute("value"))
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Tools").fill(WEATHER)
    page.get_by_label("Message").fill('call weather {"city": "Rome"}')
    page.keyboard.press("Control+Enter")
    result = page.get_by_label("Result of weather")
    expect(result).to_be_focused()
    expect(page.get_by_label("Arguments of weather")).to_contain_text("Rome")
    result.fill("21 degrees")
    page.keyboard.press("Control+Enter")
    last = page.get_by_role("article", name="Model").last
    expect(last).to_contain_text("weather -> 21 degrees")
    expect(last).to_contain_text(re.compile(r"\$0\.0|price unknown"))
    tab.shoot("playground-tools")
    last.get_by_role("link", name="Details").click()
    expect(page.get_by_role("heading", name="What was said")).to_be_visible()
    expect(page.get_by_role("link", name="key sk-")).to_be_visible()
    said = page.locator(".said")
    expect(said).to_contain_text('weather({"city"')
    expect(said).to_contain_text("21 degrees")
    tab.shoot("request-content")
    assert tab.violations() == []
    page.get_by_role("link", name="Replay").click()
    expect(page.get_by_text("Filled in from the request")).to_be_visible()
    expect(page.get_by_role("log").or_(page.locator(".log"))).to_contain_text('call weather {"city": "Rome"}')
    expect(page.get_by_label("Tools")).to_have_value(re.compile("weather"))
    assert "Rome" not in page.url


def test_a_schema_is_checked_at_its_field_and_then_kept_to(tab: Visit):
    page = opened(tab, f"?model={OPENAI}&format=json_schema")
    page.get_by_label("Message").fill("As JSON")
    for written, problem in (
        ("", "Write the schema"),
        ('{"type": }', "not valid JSON"),
        ('{"properties": {"town": {"type": "txt"}}}', "txt"),
    ):
        page.get_by_label("JSON schema").fill(written)
        page.get_by_role("button", name="Send").click()
        assert problem in page.get_by_label("JSON schema").evaluate("field => field.validationMessage")
    page.get_by_label("JSON schema").fill('{"type": "object", "properties": {"town": {"type": "string"}}}')
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("article", name="Model")).to_contain_text('{"')
    expect(page.get_by_role("article", name="Model")).to_contain_text("tokens in")


def test_escape_stops_an_answer_and_what_came_stays(tab: Visit):
    page = opened(tab, f"?model={OPENAI}")
    page.get_by_label("Message").fill("@long 20000 @slow 50")
    page.keyboard.press("Enter")
    answer = page.get_by_role("article", name="Model")
    expect(answer.locator(".text")).not_to_be_empty()
    page.keyboard.press("Escape")
    expect(answer).to_contain_text("Stopped")
    expect(page.get_by_role("button", name="Send")).to_be_enabled()


def test_a_file_that_is_not_ready_is_told_and_waited_for(tab: Visit, product: Product):
    seed(product, "hold_copies(are_ready=False)")
    page = opened(tab, f"?model={GEMINI}")
    page.get_by_role("checkbox", name="quarterly report.pdf").check()
    expect(page.get_by_text("is not ready for gemini")).to_be_visible()
    page.get_by_label("Message").fill("What does it say?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Send when ready")).to_be_focused()
    tab.shoot("playground-not-ready")
    assert tab.violations() == []
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_role("article", name="Model")).to_have_count(0)
    seed(product, "hold_copies(are_ready=True)")
    expect(page.get_by_role("article", name="Model")).to_contain_text("application/pdf")
    expect(page.get_by_text("is not ready for gemini")).to_be_hidden()


def test_the_code_repeats_the_very_request(
    tab: Visit, secret: str, fakes: FakeServers, product: Product, tmp_path
):
    page = opened(tab, f"?model={OPENAI}&temperature=0.5&stop=END")
    page.get_by_label("System prompt").fill('Say "it\'s"')
    page.get_by_text("More", exact=True).or_(page.locator("summary")).first.focus()
    page.get_by_label("Other parameters").fill('{"seed": 7}')
    page.get_by_label("Message").fill('What\'s new?\n\\n "two" ünïcode 🚀')
    page.get_by_role("button", name="View code").click()
    python, curl = page.locator("#code-openai").inner_text(), page.locator("#code-curl").inner_text()
    expect(page.locator("#code-js")).to_contain_text("process.env.PORTICO_KEY")
    page.get_by_role("button", name="Close").click()
    fakes.openai.clear_requests()
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("article", name="Model")).to_contain_text("tokens in")
    for command in ([sys.executable, "-c", python], ["bash", "-c", curl]):
        ran = subprocess.run(
            command,
            env={**os.environ, "PORTICO_KEY": secret},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd=tmp_path,
        )
        assert "ünïcode" in ran.stdout.encode().decode("unicode-escape", "ignore") or "nïcode" in ran.stdout
    sent, by_python, by_curl = bodies(fakes)
    assert sent["messages"][-1]["content"] == 'What\'s new?\n\\n "two" ünïcode 🚀'
    assert (sent["seed"], sent["temperature"]) == (7, 0.5)
    assert sent == by_python == by_curl


def test_the_shared_address_holds_settings_and_no_words(tab: Visit):
    page = opened(tab, f"?model={OPENAI}")
    page.get_by_label("System prompt").fill("private words")
    page.get_by_label("Message").fill("private words")
    page.get_by_label("Compare with").select_option(GEMINI)
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Temperature").fill("0.3")
    page.get_by_role("button", name="Share").click()
    expect(page.get_by_text("Link copied")).to_be_visible()
    address = page.evaluate("navigator.clipboard.readText()")
    assert "private" not in address
    page.goto(address)
    expect(page.get_by_label("Temperature")).to_have_value("0.3")
    expect(page.get_by_label("Compare with")).to_have_value(GEMINI)


def test_a_file_is_attached_without_leaving(tab: Visit, tmp_path):
    notes = tmp_path / "attached notes.txt"
    notes.write_text("words")
    page = opened(tab, f"?model={OPENAI}")
    page.locator("[data-attach-input]").set_input_files(notes)
    expect(page.get_by_role("checkbox", name="attached notes.txt")).to_be_checked()
    page.get_by_label("Find a file").fill("quarterly")
    expect(page.get_by_role("checkbox", name="quarterly report.pdf").first).to_be_visible()
    expect(page.get_by_role("checkbox", name="attached notes.txt")).to_be_checked()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_conversation_looks_well_everywhere(tab: Visit, scheme: Literal["light", "dark"]):
    tab.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page = opened(tab, f"?model={GEMINI}&second={OPENAI}&temperature=0.3")
    page.get_by_label("Tools").fill(WEATHER)
    page.get_by_label("Message").fill('think, then call weather {"city": "Rome"}')
    page.keyboard.press("Enter")
    expect(page.get_by_label("Result of weather")).to_have_count(2)
    expect(page.get_by_text("$0.0").or_(page.get_by_text("price unknown"))).to_have_count(2)
    for name, size in (("wide", WIDE), ("narrow", NARROW)):
        page.set_viewport_size(size)
        page.evaluate("scrollTo(0, 0)")
        tab.shoot(f"playground-busy-{name}-{scheme}")
        assert tab.overflow() == 0
        assert tab.violations() == []
