"""Signed addresses in place of bytes, where the operator allows them and the provider fetches by itself.

An address is made for one request, is never written down, and ends by itself. A provider that could not fetch
is sent the bytes instead, and at that account nothing else is tried for a while.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from django.conf import settings

from files import storage
from files.models import ManagedFile
from providers.errors import PorticoError
from providers.types import Provider, SignedUrl

logger = logging.getLogger(__name__)

DELIVERY: Final = "signed url"
"""How the ledger calls it."""
LIFE_SECONDS: Final = 600
"""Providers fetch before they answer."""
SMALLEST: Final = 1 << 20
"""Smaller files are quicker sent than fetched."""
DISTRUST_SECONDS: Final = 600.0

_distrusted: dict[int, float] = {}


def address_of(file: ManagedFile, provider: Provider, model: str, account_id: int) -> SignedUrl | None:
    """Where the provider may fetch the file; None when it is to be sent in another way."""
    if not settings.SIGNED_URL_DELIVERY or file.size < SMALLEST or provider.fetches is None:
        return None
    if time.monotonic() < _distrusted.get(account_id, 0.0):
        return None
    if not provider.fetches(model, file.media_type, file.size):
        return None
    try:
        url = storage.signed_url(file, LIFE_SECONDS, media_type=file.media_type, filename=file.filename)
    except PorticoError as error:
        logger.warning("No address could be signed for file %s: %s", file.pk, error.message)
        return None
    if url is None or not url.startswith("https://"):
        return None
    return SignedUrl(url, file.media_type, file.filename)


def distrust(account_id: int) -> None:
    """The provider could not fetch what it was shown at this account, but took the bytes."""
    logger.warning("The provider of account %s could not fetch signed addresses; bytes are sent.", account_id)
    _distrusted[account_id] = time.monotonic() + DISTRUST_SECONDS
