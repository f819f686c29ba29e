"""The portal's tables. Files and their copies live in the files package."""

from __future__ import annotations

from portal.models.account import ProviderAccount
from portal.models.audit import AuditEvent
from portal.models.model import Deployment, Model
from portal.models.settings import Revision, Settings, SetupLink
from portal.models.team import Membership, Team
from portal.models.usage import UsageRecord
from portal.models.user import User
from portal.models.virtual_key import VirtualKey

__all__ = [
    "AuditEvent",
    "Deployment",
    "Membership",
    "Model",
    "ProviderAccount",
    "Revision",
    "Settings",
    "SetupLink",
    "Team",
    "UsageRecord",
    "User",
    "VirtualKey",
]
