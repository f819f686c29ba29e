"""The owner's first hour in one browser: set-up link, model, provider, key, file, playground."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.product import Product

MODEL = "gemini-3.5-flash"
PASSWORD = "seven paper boats drift"


def test_01_the_set_up_link_makes_the_owner_and_signs_them_in(visit: Visit, product: Product):
    assert product.setup_url is not None
    page = visit.page
    page.goto(product.setup_url)
    visit.shoot("setup")
    page.get_by_label("Your name").fill("Ada Lovelace")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make account").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_role("heading", name="Set up")).to_be_visible()
    visit.shoot("overview-empty")


def test_02_the_link_works_only_once(visit: Visit, product: Product):
    assert product.setup_url is not None
    response = visit.page.goto(product.setup_url)
    assert response is not None
    assert response.status == 404
    visit.complaints.clear()  # Chromium reports every 404 as an error of the page.
    expect(visit.page.get_by_text("has an owner already")).to_be_visible()


def test_03_a_model_is_tested_before_it_is_saved(visit: Visit, fakes: FakeServers):
    page = visit.go("/models/")
    visit.shoot("models-empty")
    page.get_by_role("link", name="Add model").first.click()
    page.get_by_role("link", name="Google AI Studio").click()
    page.get_by_label("API key").fill("AIza-blue-0123456789abcdef")
    page.locator("[name=account-api_base]").fill(fakes.gemini_url)
    page.get_by_label("Provider model").fill(MODEL)
    expect(page.get_by_text("offered while you type")).to_be_visible()
    page.get_by_role("button", name="Test").click()
    expect(page.get_by_text("Takes a file and answers about it")).to_be_visible()
    visit.shoot("model-tested")
    assert page.get_by_text("Failed").count() == 0
    page.get_by_role("button", name="Save model").click()
    expect(page.get_by_role("heading", name=MODEL)).to_be_visible()
    expect(page.get_by_text("Works ·")).to_be_visible()
    visit.shoot("models")


def test_04_a_second_provider_is_added_and_its_key_is_never_shown_again(visit: Visit, fakes: FakeServers):
    page = visit.go("/providers/new/?provider=openai")
    page.get_by_label("API key").fill("sk-fake-blue-0123456789")
    page.locator("[name=api_base]").fill(fakes.openai_url)
    page.get_by_role("button", name="Test connection").click()
    expect(page.get_by_text("It works")).to_be_visible()
    page.get_by_role("button", name="Save account").click()
    expect(page.get_by_role("heading", name="Providers")).to_be_visible()
    page.get_by_role("link", name="OpenAI", exact=True).click()
    assert page.get_by_label("API key").input_value() == ""
    assert "sk-fake-blue" not in page.content()
    visit.shoot("provider")
    page.goto(f"{visit.url}/models/new/?provider=openai")
    expect(page.get_by_text("offered while you type")).to_be_visible()
    page.get_by_label("Provider model").fill("gpt-5.4")
    page.get_by_role("button", name="Save model").click()
    expect(page.get_by_role("heading", name="gpt-5.4")).to_be_visible()


def test_05_problems_of_a_form_stand_at_their_fields_and_nothing_typed_is_lost(visit: Visit):
    page = visit.go("/models/new/?provider=gemini")
    expect(page.get_by_text("offered while you type")).to_be_visible()
    page.get_by_label("Name for clients").fill("kept")
    page.get_by_role("button", name="Save model").click()
    expect(page.locator("#id_provider_model_errors")).to_contain_text("required")
    assert page.get_by_label("Name for clients").input_value() == "kept"
    assert page.get_by_label("Provider model").get_attribute("aria-invalid") == "true"
    visit.complaints.clear()  # Chromium reports every 422 as an error of the page.


def test_06_a_key_is_made_with_the_keyboard_and_its_secret_copied(visit: Visit):
    page = visit.go("/keys/")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="New key")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    visit.shoot("key-new")
    page.keyboard.type("first program")
    page.keyboard.press("Enter")
    secret = page.locator("#secret")
    expect(secret).to_be_visible()
    expect(page.get_by_role("button", name="Copy").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Copied").first).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == secret.text_content()
    visit.shoot("key-secret")
    shown = secret.inner_text()
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("cell", name="first program").first).to_be_visible()
    assert shown not in page.content()


def test_07_a_dropped_file_is_copied_to_every_provider(visit: Visit, tmp_path: Path):
    page = visit.go("/files/")
    visit.shoot("files-empty")
    report = tmp_path / "quarterly report.pdf"
    report.write_bytes(samples.pdf())
    drop(page, report)
    row = page.get_by_role("row").filter(has_text="quarterly report.pdf")
    expect(row).to_be_visible()
    expect(row.locator(".chip.ok")).to_have_count(2)
    visit.shoot("files")
    page.get_by_role("link", name="quarterly report.pdf", exact=True).click()
    expect(page.get_by_text("2 of 2 ready")).to_be_visible()
    visit.shoot("file")


def test_08_the_playground_streams_an_answer_about_the_file(visit: Visit):
    page = visit.go("/files/")
    page.get_by_role("link", name="Use quarterly report.pdf").click()
    expect(page.get_by_role("checkbox", name="quarterly report.pdf")).to_be_checked()
    page.wait_for_load_state()  # with its scripts: whoever is faster sends the form itself
    page.get_by_label("Model", exact=True).select_option(MODEL)
    page.evaluate(COUNT_GROWTH)
    page.get_by_label("Message").fill("What happens on page one?")
    page.keyboard.press("Enter")
    answer = page.get_by_role("article", name="Model")
    expect(answer).to_contain_text("application/pdf")
    expect(answer).to_contain_text("What happens on page one?")
    expect(answer).to_contain_text("First token")
    expect(answer).to_contain_text("tokens in")
    assert page.evaluate("window.growth") > 1, "the answer came in one piece"
    visit.shoot("playground")


def test_09_the_overview_shows_what_happened(visit: Visit):
    page = visit.go("/")
    expect(page.get_by_role("row").filter(has_text=MODEL).first).to_be_visible()
    visit.shoot("overview")


def test_10_downloads_give_back_the_very_bytes(visit: Visit):
    page = visit.go("/files/")
    page.get_by_role("link", name="quarterly report.pdf", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "quarterly report.pdf"
    assert Path(download.value.path()).read_bytes() == samples.pdf()


COUNT_GROWTH = """() => {
  window.growth = 0;
  new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.target.closest?.(".assistant .text")) window.growth += change.addedNodes.length;
    }
  }).observe(document.querySelector(".log"), { childList: true, subtree: true });
}"""


def drop(page, path: Path) -> None:
    """Drops a file on the page as a person does."""
    data = page.evaluate_handle(
        """async ({ bytes, name }) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], name));
          return transfer;
        }""",
        {"bytes": list(path.read_bytes()), "name": path.name},
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("main", event, {"dataTransfer": data})
