"""The Django project: who may call what, and every face the product shows."""
