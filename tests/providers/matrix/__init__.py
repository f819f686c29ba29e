"""templates/docs/providers.md: what each registered provider does, found out by asking its own functions."""
