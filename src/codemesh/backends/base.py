"""The contract that every backend keeps, in the words of its methods.

A backend stores records, plain JSON objects under names of 1 to 255 characters. It
never prompts, prints, reads config.toml or imports another backend: what it needs from
outside comes in its Context (`context.py`). A new one implements `records`, `change`, `retire` and
`status`; the rest follows from these, and may be overridden where the store beneath
can do better.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from codemesh.errors import (
    BackendUnavailableError,
    ConflictError,
    CredentialNotFoundError,
    UsageError,
)
from codemesh.model import Record, check_entry_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from codemesh.backends.context import Context, PassphraseSource


class Rekeying(NamedTuple):
    """What a change of passphrase is to do."""

    passphrases: PassphraseSource
    """Where the new passphrase comes from."""

    protect: str
    """`passphrase`, or `keychain`: a generated one, kept there."""

    cost: str | None = None
    """The name of the least cost of the key derivation, beside config.toml's and the file's."""

    keep_data_key: bool = False
    """Whether the data key stays, so that only what seals it is new."""


class Status(NamedTuple):
    """What can be said of a store without opening anything that is sealed."""

    where: str
    """Where the credentials lie, for people: a path, or the name of a service."""

    encrypted: bool
    """Whether they are encrypted at rest."""

    exists: bool
    """Whether there is a store yet; the first write makes it.

    A store that is no document of its own, such as a keychain, is there while it has
    entries, or is locked.
    """

    locked: bool
    """Whether a passphrase or an unlocking would be needed to read it now."""

    entries: int | None
    """How many there are; None while that cannot be told."""

    unlocked_until: int | None = None
    """When the key that rests ends, in UNIX seconds; None if none rests."""


class Fault(NamedTuple):
    """Something in a store that is not as it should be, although it can be read."""

    message: str
    mend: Callable[[], object] | None = None
    """The act that puts it right, losing nothing; None if that is for the user to do."""

    advice: str = ""
    """What the user can do."""


class Backend(ABC):
    """One store of credentials.

    Every method may raise StorageError (the disk or the system refused), UnsafeFileError
    and TooLargeError (refused for safety), DamagedError (never treated as empty) and
    BackendUnavailableError. Reading a sealed store may also raise LockedError and
    WrongPassphraseError; writing may raise BusyError. After any error but
    NotDurableError a file is what it was; elsewhere each entry is old or new.
    """

    name: ClassVar[str]
    """The name in the backend table and in config.toml."""

    def __init__(self, context: Context) -> None:
        self.context = context

    # -- reading -------------------------------------------------------------------

    @abstractmethod
    def records(self) -> dict[str, Record]:
        """Every record by its name, in one pass.

        A store that does not exist yet is empty. Each call reads anew, and returns
        objects that are the caller's own to change.
        """

    @abstractmethod
    def status(self) -> Status:
        """Where the store is, and what can be told of it without a question.

        Never asks for a passphrase and never derives a key. Raises only what stops even
        that: an unsafe file, a damaged one, a disk that does not answer.
        """

    def names(self) -> list[str]:
        """The names of all entries, sorted by code point."""
        return sorted(self.records())

    def get(self, name: str) -> Record:
        """The record of one entry. Raises CredentialNotFoundError if it is not there."""
        try:
            return self.records()[name]
        except KeyError:
            raise CredentialNotFoundError(name) from None

    # -- writing -------------------------------------------------------------------

    def prepare(self) -> None:  # noqa: B027  most backends have nothing to ask
        """Ask and derive now whatever the next write needs.

        Called before any lock is taken, so that nobody waits for a lock while a person
        types. A second call does nothing.
        """

    @abstractmethod
    def change(
        self,
        puts: Mapping[str, Record],
        removes: Collection[str] = (),
        *,
        expect: Mapping[str, Record | None] | None = None,
    ) -> None:
        """Write and remove entries in one go: one lock, one write.

        All or nothing on a file; elsewhere each entry is old or new. Writing over an
        entry replaces it, and a second call with the same records leaves the same
        entries. A change of nothing does nothing. Limits are checked before the first write.

        Raises CredentialNotFoundError if an entry to remove is not there, UsageError if
        a name or record cannot be stored (see `check_entry_name`; a record is a JSON
        object that nests at most 62 levels, as the document around it takes two), and
        ConflictError if an entry named in `expect` is not what stands there (None: not
        there). All are raised before anything changes.
        """

    @abstractmethod
    def retire(self, expect: Mapping[str, Record]) -> None:
        """Remove these entries after they moved elsewhere, and the store if it is then empty.

        Each must still be as given, otherwise ConflictError is raised and nothing
        changes; entries that are not there any more are fine, so a second call does
        nothing. What else lies in the store stays.
        """

    def put(self, name: str, record: Record) -> None:
        """Write one entry, over the one that may be there."""
        self.change({name: record})

    def remove(self, name: str) -> None:
        """Remove one entry. Raises CredentialNotFoundError if it is not there."""
        self.change({}, [name])

    # -- upkeep --------------------------------------------------------------------

    def leftovers(self) -> list[str]:
        """What killed writers left behind, in words for people; paths, for a file."""
        return []

    def sweep(self) -> None:  # noqa: B027  most backends leave nothing behind
        """Remove the leftovers. A second call does nothing."""

    def probe(self) -> None:  # noqa: B027  a file proves itself at every write
        """Write something that is no entry, read it back, and remove it again.

        For a store that belongs to somebody else, such as a keychain. Raises what a write
        would raise, and NotKeptError if the store did not keep it. A second call does the
        same again.
        """

    def faults(self, candidates: Collection[str]) -> list[Fault]:  # noqa: ARG002  a default answer
        """What is wrong in the store although it can be read, leftovers aside.

        `candidates` are names that could have an entry although the store does not list
        it, for stores that keep a list of their own.
        """
        return []

    def accept_revision(self) -> int | None:
        """Take the store as it stands for the newest one, after a rollback or a fork.

        Returns the revision accepted, or None for a store that keeps no revisions. A
        second call accepts the same one again.
        """
        return None

    def weaknesses(self) -> list[Fault]:
        """What should be stronger, told without opening anything that is sealed."""
        return []

    # -- unlocking -----------------------------------------------------------------

    def unlock(self, seconds: float) -> int:  # noqa: ARG002  a default answer
        """Take the passphrase, and let the key of the store rest for so many seconds.

        Returns when that ends, in UNIX seconds. Until then every process of this user
        opens the store without it. A key that rests already proves nothing: a second call
        asks for the passphrase again, and the time starts anew. Raises UsageError for a store
        that has no passphrase, or that does not exist.
        """
        raise self._without_passphrase()

    def lock(self) -> bool:
        """Let no key of this store rest any more. Returns whether one did."""
        raise self._without_passphrase()

    def rekey(self, wish: Rekeying) -> Callable[[], str]:  # noqa: ARG002  a default answer
        """Take the old passphrase and the new one, and derive the new keys.

        Nothing changes until what is returned is called: that seals everything again under
        the new passphrase, in one step, and no key rests any more; it returns what its owner
        should know of it, or nothing. A key that rests proves
        nothing here. Raises what `unlock` raises; what is returned raises RefusedError if
        somebody else has changed the passphrase meanwhile.
        """
        raise self._without_passphrase()

    def _without_passphrase(self) -> UsageError:
        return UsageError(
            f"the {self.name} store has no passphrase",
            hint="Move to one that has: codemesh migrate encrypted",
        )

    # -- damage --------------------------------------------------------------------

    def salvage(self) -> Salvage:
        """What can still be read of a damaged store, changing nothing.

        Raises what `records` raises where nothing can be saved.
        """
        return Salvage(self.records(), [])

    def restart(self, records: Mapping[str, Record]) -> str:  # noqa: ARG002  a default answer
        """Set a damaged store aside as a private copy, and start anew with `records`.

        Returns where the copy lies. The copy is complete before the store is replaced,
        so a kill in between leaves the damaged store in place. Raises
        BackendUnavailableError where a store of this kind cannot be set aside.
        """
        raise BackendUnavailableError(
            f"a damaged {self.name} store cannot be set aside from here",
            hint="Nothing was changed. Repair it with its own tools.",
        )


class Salvage(NamedTuple):
    """What `Backend.salvage` found."""

    records: dict[str, Record]
    """The entries that still parse."""

    lost: list[str]
    """What does not, in words for people; names where they can be told."""


def apply(
    records: dict[str, Record],
    puts: Mapping[str, Record],
    removes: Collection[str],
    expect: Mapping[str, Record | None] | None,
) -> dict[str, Record]:
    """The entries after a change, as `Backend.change` describes it; `records` stays."""
    if expect is not None:
        check_expected(records, expect)
    changed = dict(records)
    for name in removes:
        if name not in changed:
            raise CredentialNotFoundError(name)
        del changed[name]
    for name, record in puts.items():
        changed[check_entry_name(name)] = record
    return changed


def check_expected(records: Mapping[str, Record], expect: Mapping[str, Record | None]) -> None:
    """Raise ConflictError naming the entries that are not as expected."""
    differing = [name for name, record in expect.items() if not same(records.get(name), record)]
    if differing:
        raise ConflictError(sorted(differing))


def same(one: object, other: object) -> bool:
    """Whether two JSON values are equal to the last field and type: 1, 1.0 and true differ.

    Keys have no order. Two floats are the same if they are written the same, so 0.0
    and -0.0 differ.
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return repr(one) == repr(other)
    return one == other
