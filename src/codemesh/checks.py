"""Checks of single values of config.toml.

A check returns the value as codemesh uses it, or raises ValueError saying what it must
be; whoever calls it adds the file and the key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Check: TypeAlias = Callable[[object], object]

NEVER_A_KEYCHAIN = {
    "keyring.backends.null.Keyring": "it keeps nothing",
    "keyring.backends.fail.Keyring": "it keeps nothing",
    "keyring.backends.chainer.ChainerBackend": "it writes to one keychain and reads from several",
}
"""Classes of the keyring library that lose what they are given, and why."""

VAULT_SERVICE = "codemesh-vault"
"""The prefix of the generated passphrases of encrypted stores in the OS keychain."""

UNLOCKED_SERVICE = "codemesh-unlocked"
"""The prefix of the keys of unlocked stores in the OS keychain."""

_LONGEST_SERVICE = 64  # characters; Windows limits what it becomes a part of
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def text(value: object) -> object:
    """A text that is not empty."""
    if isinstance(value, str) and value:
        return value
    raise ValueError("must be text that is not empty")


def text_list(value: object) -> object:
    """A list of texts, at least one."""
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return value
    raise ValueError('must be a list of texts, such as ["pass", "show", "codemesh"]')


def duration(value: object) -> object:
    """A length of time such as "10s", "500ms" or "8h", as seconds."""
    if isinstance(value, str):
        number = value.rstrip("abcdefghijklmnopqrstuvwxyz")
        unit = _UNITS.get(value[len(number) :])
        if unit is not None and number.replace(".", "", 1).isdecimal() and number.isascii():
            return float(number) * unit
    raise ValueError('must be a length of time, such as "10s", "500ms" or "8h"')


def positive_duration(value: object) -> object:
    """A length of time as in `duration`, longer than none."""
    if duration(value):
        return duration(value)
    raise ValueError('must be longer than none, such as "10s"')


def service_name(value: object) -> object:
    """The prefix of the items in a keychain: one word, without what separates its parts."""
    if value in (VAULT_SERVICE, UNLOCKED_SERVICE):
        raise ValueError("may not be one that codemesh keeps something else under")
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_SERVICE:
        fine = value.isascii() and value.isprintable() and not set(value) & set(" @%/\\*")
        if fine and value == value.lower():
            return value
    raise ValueError(
        f"must be at most {_LONGEST_SERVICE} lower-case letters, digits and signs such as - or ."
    )


def class_path(value: object) -> object:
    """`auto`, or the path of a class as `module.Class`."""
    if isinstance(value, str):
        if value in NEVER_A_KEYCHAIN:
            raise ValueError(f"may not be {value}: {NEVER_A_KEYCHAIN[value]}")
        module, dot, name = value.rpartition(".")
        if value == "auto" or (dot and name.isidentifier() and module):
            return value
    raise ValueError('must be "auto", or the path of a class as in "module.Class"')


def one_of(*choices: str) -> Check:
    """One of the texts given."""

    def check(value: object) -> object:
        if value in choices:
            return value
        raise ValueError("must be " + " or ".join(f'"{choice}"' for choice in choices))

    return check
