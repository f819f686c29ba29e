"""The raw records under /admin/, for owners only. Secrets, sealed or hashed, are not shown."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin
from django.contrib.auth.models import Group

from portal.admin import files, instance, money, people, serving

__all__ = ["files", "instance", "money", "people", "serving"]

admin.site.site_header = "Portico records"
admin.site.site_title = "Portico"
admin.site.index_title = "Raw records"
for _table in (Group, EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken):
    # Not used here, or changed on the account page alone, where it is checked.
    admin.site.unregister(_table)
