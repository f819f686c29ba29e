"""`python -m tests.providers.matrix` writes the page anew."""

from __future__ import annotations

from tests.providers.matrix.page import PAGE, to_page

if __name__ == "__main__":
    PAGE.write_text(to_page(), encoding="utf-8")
