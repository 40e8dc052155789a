"""Every error that codemesh raises on purpose, as one tree.

    CodemeshError                     1   anything else
    ├── StorageError                  1   disk full, I/O error
    │   ├── NotDurableError           1   saved, but the disk did not confirm it
    │   └── NotKeptError              1   written, but the store did not keep it
    ├── UsageError                    2   wrong or missing input
    │   └── ConfigError               2   config.toml is wrong
    ├── CredentialNotFoundError       3   no such credential
    │   └── FieldNotFoundError        3   the credential has no such field
    ├── LockedError                   4   a passphrase is needed and nobody gave one
    │   └── DeniedError               4   the keychain, or its owner, said no
    ├── BackendUnavailableError       5   the chosen store cannot work here
    ├── DamagedError                  6   the store is damaged or not understood
    │   ├── NotAVaultError            6   not an encrypted store at all
    │   ├── NewerVersionError         6   written by a newer codemesh
    │   ├── UnsafeKdfError            6   key derivation parameters out of bounds
    │   ├── WrapDamagedError          6   the sealed data key does not open
    │   ├── PayloadDamagedError       6   the sealed credentials do not open
    │   └── NotUnderstoodError        6   one record, of a kind nobody here knows
    ├── RefusedError                  7   refused for safety
    │   ├── UnsafeFileError           7   loose mode, foreign owner, link, special file
    │   ├── TooLargeError             7   over a size limit
    │   ├── ConflictError             7   the other side holds something else
    │   ├── RollbackError             7   older than a revision already seen
    │   └── ForkError                 7   same revision, another history
    ├── BusyError                     8   another process held the lock
    │   └── NotAnsweringError         8   a deadline passed without an answer
    ├── WrongPassphraseError          9   wrong passphrase, or an altered header
    ├── ProviderError                10   a provider refused, or answered what is no answer
    │   ├── NetworkError             10   it was not reached, or did not answer in time
    │   ├── RefusedGrantError        10   the code or the refresh token is not good any more
    │   └── UnauthorizedError        10   the credential was not accepted (401)
    └── LoginRequiredError           11   expired, and a new login is needed

The number is the exit status of the command line; numbers never change their
meaning. An error says what failed and, in its hint, what to type next. No error
carries a secret: messages are built from paths, entry names and field names alone.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own would load it, for annotations alone
if TYPE_CHECKING:
    from typing import ClassVar, Self

_LISTED = 5  # names in one message


class CodemeshError(Exception):
    """The root of the tree.

    `message` says what failed, `hint` what to do next (possibly empty), and
    `where` names the file it failed on, once somebody who knows it has said so.
    """

    exit_code: ClassVar[int] = 1
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "", where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.where = where

    def at(self, where: str) -> Self:
        """Name the file, and return the error. A second call changes nothing."""
        self.where = self.where or where
        return self

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class StorageError(CodemeshError):
    """The disk or the system refused: full, read-only, an I/O error."""

    default_hint = "The store is as it was. Put the cause right and run the command again."


class NotDurableError(StorageError):
    """The new content is in place, but the disk did not confirm that it is permanent."""

    default_hint = "The change is saved; check the disk before you rely on it."


class NotKeptError(StorageError):
    """What was written does not read back: the store said yes and did something else."""

    default_hint = "Do not rely on this store. See how it does: codemesh doctor"


class UsageError(CodemeshError):
    """The command line is wrong, or input is missing and nobody can be asked."""

    exit_code = 2


class ConfigError(UsageError):
    """config.toml, or the environment that points at it, is wrong."""


class CredentialNotFoundError(CodemeshError):
    """There is no such credential in the store."""

    exit_code = 3

    def __init__(self, name: str, *, hint: str = "", where: str = "") -> None:
        super().__init__(
            f"no credential named {name}",
            hint=hint or "See what there is: codemesh auth list",
            where=where,
        )
        self.name = name


class FieldNotFoundError(CredentialNotFoundError):
    """The credential is there, but it has no such field."""

    def __init__(self, field: str, known: list[str]) -> None:
        CodemeshError.__init__(self, f"no field named {field}", hint="It has: " + ", ".join(known))
        self.name = field


class LockedError(CodemeshError):
    """The store is locked, and no source gave its passphrase."""

    exit_code = 4
    sources_hint: ClassVar[str] = (
        "Run it in a terminal, or use --passphrase-fd N, CODEMESH_PASSPHRASE, "
        "CODEMESH_PASSPHRASE_FILE or passphrase_command."
    )
    """What to do where nothing but the passphrase helps."""

    default_hint = f"Unlock it for a while: codemesh unlock. {sources_hint}"


class DeniedError(LockedError):
    """The keychain refused: a prompt was dismissed, or access is not granted."""


class BackendUnavailableError(CodemeshError):
    """The chosen backend cannot work on this machine."""

    exit_code = 5


class DamagedError(CodemeshError):
    """The store, or a record in it, is damaged or not understood.

    A damaged store is never treated as an empty one.
    """

    exit_code = 6
    default_hint = "Nothing was changed. Save what can be saved: codemesh auth recover"


class NotAVaultError(DamagedError):
    """The file is no well-formed encrypted store."""


class NewerVersionError(DamagedError):
    """The file was written by a newer version of codemesh."""

    default_hint = "Nothing was changed. Update codemesh to read it."


class UnsafeKdfError(DamagedError):
    """The key derivation parameters are outside the bounds of the format."""


class WrapDamagedError(DamagedError):
    """The passphrase is right, but the sealed data key does not open."""


class PayloadDamagedError(DamagedError):
    """The data key is right, but the sealed credentials do not open."""


class NotUnderstoodError(DamagedError):
    """One record is of an unknown type, or has fields missing."""

    default_hint = "Log in again to replace it, or update codemesh."


class RefusedError(CodemeshError):
    """Refused, because going on could lose or leak something."""

    exit_code = 7


class UnsafeFileError(RefusedError):
    """A loose mode, a foreign owner, an unsafe link or a special file."""

    default_hint = "See what is wrong, and mend it: codemesh doctor --fix"


class TooLargeError(RefusedError):
    """Over a size limit."""


class ConflictError(RefusedError):
    """An entry is not what it was expected to be; nothing was changed."""

    def __init__(self, names: list[str], *, between: str = "", hint: str = "") -> None:
        listed = ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
        super().__init__(f"these entries differ{between}: {listed}", hint=hint)
        self.names = names


class RollbackError(RefusedError):
    """The store is older than a revision that was already seen here."""

    default_hint = "If you restored a backup on purpose: codemesh doctor --accept-rollback"


class ForkError(RefusedError):
    """The store has the revision that was last seen, but another content."""

    default_hint = "If this is the copy to keep: codemesh doctor --accept-rollback"


class BusyError(CodemeshError):
    """Another process held a lock until the deadline."""

    exit_code = 8
    default_hint = "Try again; lock_timeout in config.toml sets how long to wait."


class NotAnsweringError(BusyError):
    """Something that was asked did not answer before its deadline."""

    default_hint = "If it was to write, that may still be carried out. Look, then try again."


class WrongPassphraseError(CodemeshError):
    """The passphrase is wrong, or the header that it is checked against was altered."""

    exit_code = 9
    default_hint = "Nothing was changed. Try again with the right passphrase."


class ProviderError(CodemeshError):
    """A provider refused a request, or its answer is none that can be used."""

    exit_code = 10
    default_hint = "The store is as it was."


class NetworkError(ProviderError):
    """A provider was not reached, or did not answer before the deadline."""

    default_hint = "The store is as it was. See that the network is there, and try again."


class RefusedGrantError(ProviderError):
    """The code or the refresh token is not, or no longer, good (RFC 6749, section 5.2)."""

    default_hint = "The store is as it was. Log in again."


class UnauthorizedError(ProviderError):
    """The provider did not accept the credential (401); a fresh one may help."""

    default_hint = "See that the key is right, or log in again: codemesh auth login"


class LoginRequiredError(CodemeshError):
    """The credential has expired, and only a new login helps."""

    exit_code = 11

    def __init__(self, name: str, *, hint: str = "") -> None:
        super().__init__(
            f"{name} has expired", hint=hint or f"Log in again: codemesh auth login {name}"
        )
        self.name = name
