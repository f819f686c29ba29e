"""The browser's pages: server-rendered, with htmx where a part of a page changes alone."""
