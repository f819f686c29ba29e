"""People who sign in to the dashboard."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models


def new_user_id() -> str:
    return uuid.uuid4().hex


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """An owner: may do everything, the raw records under /admin/ included."""
        return self.create_user(
            email, password, is_staff=True, is_superuser=True, role=User.Role.OWNER, **fields
        )


class User(AbstractUser):
    """Signs in by e-mail. `role` is the instance-wide one; roles inside teams stand in Membership.

    `user_id` is the public id; `options` as a key's, they bound all keys and sessions of the person.
    """

    class Role(models.TextChoices):
        OWNER = "owner", "Owner"
        ADMIN = "admin", "Admin"
        AUDITOR = "auditor", "Auditor"
        NONE = "", "Member of teams only"

    username = None  # type: ignore[assignment]  # Django's way of removing an inherited field
    email = models.EmailField("e-mail", unique=True)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.NONE, blank=True)

    user_id = models.CharField(max_length=64, unique=True, default=new_user_id)
    allowed_models = models.JSONField(default=list, blank=True)
    options = models.JSONField(default=dict, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    spend = models.DecimalField(max_digits=20, decimal_places=12, default=0, editable=False)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]  # as above

    @property
    def is_admin(self) -> bool:
        """May this person change models, accounts and every team?"""
        return self.is_active and (self.is_superuser or self.role in {self.Role.OWNER, self.Role.ADMIN})

    def __str__(self) -> str:
        return self.get_full_name() or self.email
