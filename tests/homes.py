"""Homes as tests find them: what lies in the folder of codemesh before it is run."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

from codemesh.backends import registry
from codemesh.choice import Unlocking, load_config, open_backend
from codemesh.store import Store
from codemesh.unlock.passphrases import VARIABLE
from support import PASSPHRASE, api_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from codemesh.backends.base import Backend
    from codemesh.model import Record

# A configuration with every kind of table, and with comments to lose.
FULL_CONFIG = """# my configuration
backend = "encrypted"            # the sealed one
lock_timeout = "500ms"

[backends.encrypted]
path = "auth.vault.json"
cost = "strong"
passphrase_command = ["pass", "show", "codemesh"]

[accounts]
openai = "work"

[run]
model = "anthropic/claude-sonnet-4-5"

[providers.local]
base_url = "http://127.0.0.1:8080"

[providers.anthropic.oauth]
client_id = "id"
scopes = ["a", "b"]
"""

# A plaintext store as the Rust program spells it, without a newline at its end.
RUST_STORE = b"""{
  "credentials": {
    "anthropic": {
      "type": "oauth",
      "access_token": "a",
      "refresh_token": "r",
      "expires_at": 1700000000
    },
    "openai": {
      "type": "apikey",
      "key": "k"
    }
  }
}"""


def write_config(home: Path, text: str) -> Path:
    """Write config.toml, and make the home if it is not there; the path of the file."""
    home.mkdir(mode=0o700, exist_ok=True)
    path = home / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def write_plaintext(home: Path, records: Mapping[str, Record], **rest: object) -> Path:
    """Write the plaintext store, with other keys at its top, and make the home."""
    home.mkdir(mode=0o700, exist_ok=True)
    path = home / "auth.json"
    path.write_text(json.dumps({"credentials": records, **rest}), encoding="utf-8")
    path.chmod(0o600)
    return path


# -- migration ---------------------------------------------------------------------------

LASTING = [entry.name for entry in registry.lasting()]
DIRECTIONS = list(itertools.permutations(LASTING, 2))
ENTRIES: dict[str, Record] = {
    "openai": {**api_key("one"), "label": None, "x-vendor": {"a": [1, 1.0, True, None, -0.0]}},
    "anthropic/work": {"type": "oauth", "access_token": "a", "expires_at": 1.5, "scope": []},
    "future": {"type": "unheard-of", "number": 2**70, "small": 1e-320},
    "\u202e\x00 strange/../name": {"text": "\r\x00\U0001f511"},
    "empty": {},
}


def unlocked(home: Path) -> Store:
    """The store of this home, with the passphrase at hand."""
    config = load_config(str(home))
    return Store(config, Unlocking(environ={VARIABLE: PASSPHRASE}))


def backend(home: Path, name: str) -> Backend:
    """One backend of this home, whatever config.toml names."""
    store = unlocked(home)
    return open_backend(store.config, name, store.unlocking)
