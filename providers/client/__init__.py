"""The functions that speak to providers without a server; the package above offers them by name."""
