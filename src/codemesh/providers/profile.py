"""A profile of Anthropic's own SDK and `ant`: read through, and never written.

Whoever has logged in there has tokens in a folder of theirs, which they renew. A
credential that only points at a profile has no second owner of its refresh token, and no
client id to borrow. The layout is that of the SDK from version 0.98 on.
"""

from __future__ import annotations

import os
import sys

from codemesh import strictjson
from codemesh.errors import (
    CredentialNotFoundError,
    DamagedError,
    LoginRequiredError,
    NotUnderstoodError,
)
from codemesh.files.private import PrivateFile
from codemesh.model import OAuth

PROVIDER = "anthropic"
"""The provider whose tokens they are; no other one ever gets them."""

_LIMIT = 2**20  # bytes
_HINT = "Log in there, or see the profiles there are: ant auth login"


def fresh(profile: str, now: float) -> OAuth:
    """As `read`, but never an expired one: raises LoginRequiredError instead."""
    credential = read(profile)
    if credential.expired(now):
        raise LoginRequiredError(f"the profile {profile}", hint=_HINT)
    return credential


def read(profile: str) -> OAuth:
    """The tokens of a profile as they are now; without a refresh token, which is not ours.

    Raises CredentialNotFoundError if there is no such profile or it was not logged in,
    NotUnderstoodError for a file of another form, and UnsafeFileError if others may read it.
    """
    if (
        not profile
        or profile != profile.strip()
        or profile[0] == "."
        or set(profile) & set("/\\\0")
    ):
        raise NotUnderstoodError("a profile is named by one word")
    path = os.path.join(_folder(), "credentials", f"{profile}.json")
    raw = PrivateFile(path, limit=_LIMIT).read()
    if raw is None:
        raise CredentialNotFoundError(f"a profile {profile}", hint=_HINT, where=path)
    try:
        document = strictjson.loads(raw)
    except DamagedError as error:
        raise error.at(path) from None
    token = document.get("access_token") if isinstance(document, dict) else None
    kind = document.get("type", "oauth_token") if isinstance(document, dict) else None
    if kind != "oauth_token" or not isinstance(token, str) or not token:
        raise NotUnderstoodError("the profile has no token that is understood", where=path)
    ends = document.get("expires_at") if isinstance(document, dict) else None
    record: dict[str, object] = {"type": "oauth", "access_token": token, "expires_at": ends}
    try:
        return OAuth(record)
    except NotUnderstoodError as error:
        raise error.at(path) from None


def _folder() -> str:
    named = os.environ.get("ANTHROPIC_CONFIG_DIR")
    if named:
        return os.path.expanduser(named)
    if sys.platform == "win32":
        return os.path.join(os.environ.get("APPDATA", ""), "Anthropic")
    return os.path.expanduser("~/.config/anthropic")
