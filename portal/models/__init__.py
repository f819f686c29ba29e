"""The portal's tables. Files and their copies live in the files package."""

from __future__ import annotations

from portal.models.account import ProviderAccount
from portal.models.alert import Alert, MailedLink, Message
from portal.models.audit import AuditEvent
from portal.models.budget import Budget, BudgetWindow, Reservation
from portal.models.content import CallContent
from portal.models.invitation import Invitation
from portal.models.memory import ContextCache, ThoughtSignature
from portal.models.model import Deployment, Model
from portal.models.saved_view import SavedView
from portal.models.session import CacheRow, Session
from portal.models.settings import Revision, Settings, SetupLink
from portal.models.team import Membership, Team
from portal.models.usage import TagHour, UsageFile, UsageHour, UsageRecord
from portal.models.usage_day import UsageDay, UsageKeyDay, UsageKeyMonth
from portal.models.user import User
from portal.models.virtual_key import RetiredKey, VirtualKey

__all__ = [
    "Alert",
    "AuditEvent",
    "Budget",
    "BudgetWindow",
    "CacheRow",
    "CallContent",
    "ContextCache",
    "Deployment",
    "Invitation",
    "MailedLink",
    "Membership",
    "Message",
    "Model",
    "ProviderAccount",
    "Reservation",
    "RetiredKey",
    "Revision",
    "SavedView",
    "Session",
    "Settings",
    "SetupLink",
    "TagHour",
    "Team",
    "ThoughtSignature",
    "UsageDay",
    "UsageFile",
    "UsageHour",
    "UsageKeyDay",
    "UsageKeyMonth",
    "UsageRecord",
    "User",
    "VirtualKey",
]
