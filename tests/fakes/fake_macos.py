"""keyring's backend for macOS over a fake keychain, on any system: `fake_macos.Keyring`."""
# ruff: noqa: INP001 - this folder is put on the path; it is no package

from __future__ import annotations

import sys

import fake_macos_api

# Before the import below, so that the real module is not run: it starts gcc to find Apple's
# libraries. An import before this one has left no such name.
sys.modules["keyring.backends.macOS.api"] = fake_macos_api

from keyring.backends import macOS  # noqa: E402  see above

vars(macOS)["api"] = fake_macos_api


class Keyring(macOS.Keyring):
    """The real class; only its priority does not ask which system this is."""

    priority = 5
