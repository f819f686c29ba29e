"""Managed files: where the bytes live, which accounts hold a copy, what a request may use."""
