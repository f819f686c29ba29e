"""Somebody without a mouse, who sees where they are; and a counter of what a mouse would have done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, Page

FARTHEST = 90
"""Steps with Tab after which nobody would go on."""
LOOK = """() => {
  const here = document.activeElement;
  if (!here || here === document.body) return { is_nowhere: true };
  const shown = here.closest(".option:has(:focus-visible)") ?? here;
  const style = getComputedStyle(shown);
  const isOutlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  const box = shown.getBoundingClientRect();
  const x = [box.left + 2, (box.left + box.right) / 2, box.right - 2];
  const y = [box.top + 2, (box.top + box.bottom) / 2, box.bottom - 2];
  const near = shown.closest("label") ?? shown;
  const isThere = (at) => at && (near.contains(at) || at.contains(near));
  return {
    is_nowhere: false,
    is_marked: isOutlined || style.boxShadow !== "none",
    is_seen: x.some((left) => y.some((top) => isThere(document.elementFromPoint(left, top)))),
    html: here.outerHTML.slice(0, 160),
  };
}"""
COUNT = """
  addEventListener("pointerdown", () => sessionStorage.clicks = Number(sessionStorage.clicks ?? 0) + 1, true);
"""


@dataclass
class Hands:
    """Presses keys and looks where the focus is after each."""

    page: Page

    def at(self) -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate(LOOK)
        return found

    def to(self, target: Locator, *, key: str = "Tab") -> None:
        """Steps on until the target has the focus, which is to be seen all the way."""
        target.wait_for()
        for _ in range(FARTHEST):
            self.page.keyboard.press(key)
            place = self.at()
            assert place["is_nowhere"] or place["is_marked"], f"nobody sees the focus on {place['html']}"
            assert place["is_nowhere"] or place["is_seen"], f"something hides {place['html']}"
            if target.evaluate("target => target === document.activeElement"):
                return
        raise AssertionError(f"Tab does not lead to {target}")

    def enter(self, target: Locator) -> None:
        self.to(target)
        self.page.keyboard.press("Enter")

    def write(self, target: Locator, words: str) -> None:
        self.to(target)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(words)

    def pick(self, target: Locator, words: str) -> None:
        """Chooses in a list by the first letters of the entry."""
        self.to(target)
        self.page.keyboard.type(words)

    def stay(self) -> None:
        """What was swapped has not taken the focus away."""
        assert not self.at()["is_nowhere"], "the focus is lost"

    def stay_inside(self, box: Locator, steps: int = 25) -> None:
        """Tab goes round inside a dialog, and never to the page behind it."""
        for _ in range(steps):
            self.page.keyboard.press("Tab")
            assert self.at()["is_nowhere"] or box.evaluate("box => box.contains(document.activeElement)")


def count_clicks(page: Page) -> None:
    """From now on, on every page of this tab."""
    page.add_init_script(COUNT)


def clicks(page: Page) -> int:
    return int(page.evaluate("Number(sessionStorage.clicks ?? 0)"))
