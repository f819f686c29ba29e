"""The hot path: chat calls from the caller's request to the provider's answer and the ledger."""
