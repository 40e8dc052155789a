"""The kinds of credential, and their names.

A credential is a typed, read-only view of its record, the plain JSON object that a
store keeps. The view checks the fields that it knows and carries every other field
along untouched, so whatever was stored comes back to the last field and type.

This module is on the path that a shell prompt waits for: it imports the standard
library alone, and little of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

from codemesh.errors import FieldNotFoundError, NotUnderstoodError, UsageError
from codemesh.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

Record: TypeAlias = dict[str, object]
"""One credential as it is stored: a JSON object."""

NAME_LIMIT = 255
"""The longest entry name that a store takes, in characters."""

RENEWED_BEFORE = 60
"""How many seconds before its end a token is renewed."""

LOGIN_REQUIRED = "login_required"
"""The field of a record whose provider refuses to renew it: only a new login helps."""

_NAME_FIRST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_NAME_REST = _NAME_FIRST | frozenset("._-")
_NAME_PART_LIMIT = 64
_FAR_FUTURE = 2**64  # the Rust program keeps moments as unsigned 64-bit numbers


# -- names ---------------------------------------------------------------------------


def check_entry_name(name: str) -> str:
    """Return `name` if any store can keep it: 1 to 255 characters of real text.

    Raises UsageError otherwise. The stores take names that nobody could type at the
    command line, because other programs may have written them.
    """
    if not name or len(name) > NAME_LIMIT:
        raise UsageError(f"an entry name has 1 to {NAME_LIMIT} characters, not {len(name)}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError("an entry name must be text that UTF-8 can express") from None
    return name


def check_typed(text: str, what: str) -> str:
    """Return `text` if it is neither empty nor holds control characters.

    The rule for names and keys that a person types. Raises UsageError naming `what`.
    """
    if not text:
        raise UsageError(f"{what} is empty")
    if any(char < " " or "\x7f" <= char <= "\x9f" or char in "\u2028\u2029" for char in text):
        raise UsageError(f"{what} holds a control character")
    return text


def new_name(provider: str, account: str | None = None) -> str:
    """The name of a new entry: `PROVIDER`, or `PROVIDER/ACCOUNT`.

    Each part is a lower-case letter or digit and then up to 63 of `a-z 0-9 . _ -`.
    Raises UsageError otherwise.
    """
    parts = (
        [("provider", provider)]
        if account is None
        else [
            ("provider", provider),
            ("account", account),
        ]
    )
    for what, part in parts:
        check_typed(part, f"the {what} name")
        if (
            len(part) > _NAME_PART_LIMIT
            or part[0] not in _NAME_FIRST
            or not _NAME_REST.issuperset(part)
        ):
            raise UsageError(
                f"{part} is no {what} name",
                hint="Use a to z, 0 to 9, '.', '_' and '-', starting with a letter or digit, "
                f"at most {_NAME_PART_LIMIT} characters.",
            )
    return "/".join(part for _, part in parts)


def split_name(name: str) -> tuple[str, str | None]:
    """The provider and the account of an entry's name; None where there is no account."""
    provider, slash, account = name.partition("/")
    return provider, account if slash else None


# -- credentials ---------------------------------------------------------------------


class Credential:
    """What the kinds have in common: a record, a label and two moments.

    Two credentials are equal if their records are. `repr` shows the label and the
    expiry, never a field that could be secret.
    """

    __slots__ = ("_record",)

    kind: ClassVar[str] = ""
    """How the kind is called when people read it."""

    _public: ClassVar[frozenset[str]] = frozenset(
        {"type", "created_at", "expires_at", "label", "scope", "account", LOGIN_REQUIRED}
    )

    def __init__(self, record: Mapping[str, object]) -> None:
        self._record: Record = dict(record)
        _moment(self._record, "expires_at")

    def to_record(self) -> Record:
        """The record, as it is stored."""
        return dict(self._record)

    @property
    def label(self) -> str | None:
        """What the user called it."""
        label = self._record.get("label")
        return label if isinstance(label, str) else None

    @property
    def created_at(self) -> int | None:
        """When it was stored, in UNIX seconds."""
        created = self._record.get("created_at")
        return created if isinstance(created, int) and not isinstance(created, bool) else None

    @property
    def expires_at(self) -> int | None:
        """When it ends to be valid, in UNIX seconds; None if it does not, or nobody knows."""
        return _moment(self._record, "expires_at")

    def expired(self, now: float) -> bool:
        """Whether it has ended to be valid at `now` (UNIX seconds)."""
        return self.expires_at is not None and now >= self.expires_at

    def fields(self) -> dict[str, object]:
        """Every field for showing: what may be secret is a Secret, the rest plain."""
        return {
            name: value if name in self._public else Secret(_text(value))
            for name, value in self._record.items()
        }

    def secret(self, field: str | None = None) -> Secret:
        """The secret that a program needs, or the field named.

        Raises FieldNotFoundError if there is no such field.
        """
        return self._field(field, self._record)

    def _field(self, field: str | None, fields: Mapping[str, object]) -> Secret:
        if field is None or field not in fields:
            raise FieldNotFoundError(field or "", sorted(fields))
        return Secret(_text(fields[field]))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credential):
            return NotImplemented
        return type(self) is type(other) and self._record == other._record

    __hash__ = None  # type: ignore[assignment]  # records are mutable mappings underneath

    def __repr__(self) -> str:
        return f"{type(self).__name__}(label={self.label!r}, expires_at={self.expires_at!r})"


class ApiKey(Credential):
    """A key that a provider's web page hands out: `{"type": "api_key", "key": …}`.

    The Rust program spells the type `apikey`; a record keeps the spelling it has.
    """

    __slots__ = ()
    kind = "API Key"

    def __init__(self, record: Mapping[str, object]) -> None:
        super().__init__(record)
        _require_text(self._record, "key")

    @classmethod
    def new(
        cls,
        key: str,
        *,
        label: str | None = None,
        created_at: int | None = None,
        expires_at: int | None = None,
    ) -> Self:
        """An API key; moments are UNIX seconds. Fields that are None are left out."""
        record: Record = {"type": "api_key", "key": key}
        return cls(_with_optional(record, label, created_at, expires_at))

    def secret(self, field: str | None = None) -> Secret:
        """The key, or the field named."""
        return super().secret("key" if field is None else field)


class OAuth(Credential):
    """Tokens of a login: `{"type": "oauth", "access_token": …, "refresh_token": …}`."""

    __slots__ = ()
    kind = "OAuth"

    def __init__(self, record: Mapping[str, object]) -> None:
        super().__init__(record)
        _require_text(self._record, "access_token")
        if not isinstance(self._record.get("refresh_token"), str | None):
            raise NotUnderstoodError("refresh_token is not text")

    @property
    def refresh_token(self) -> Secret | None:
        """What a new access token is got with; None if nothing is."""
        token = self._record.get("refresh_token")
        return Secret(token) if isinstance(token, str) and token else None

    def due(self, now: float) -> bool:
        """Whether it has ended or will within `RENEWED_BEFORE` seconds, and can be renewed.

        `now` is in UNIX seconds. What a provider has refused to renew is never due.
        """
        if self.expires_at is None or self._record.get(LOGIN_REQUIRED) is True:
            return False
        return self.expires_at - now < RENEWED_BEFORE and self.refresh_token is not None

    def secret(self, field: str | None = None) -> Secret:
        """The access token, or the field named."""
        return super().secret("access_token" if field is None else field)


class Custom(Credential):
    """Anything else that a provider asks for: `{"type": "custom", "data": {…}}`."""

    __slots__ = ("_data",)
    kind = "Custom"
    _secrets = ("api_key", "key", "token", "secret")

    def __init__(self, record: Mapping[str, object]) -> None:
        super().__init__(record)
        data = self._record.get("data")
        if not isinstance(data, dict):
            raise NotUnderstoodError("data is not an object")
        self._data: dict[str, object] = data

    @classmethod
    def new(
        cls,
        data: Mapping[str, object],
        *,
        label: str | None = None,
        created_at: int | None = None,
        expires_at: int | None = None,
    ) -> Self:
        """A custom credential; moments are UNIX seconds. Fields that are None are left out."""
        record: Record = {"type": "custom", "data": dict(data)}
        return cls(_with_optional(record, label, created_at, expires_at))

    @property
    def profile(self) -> str | None:
        """The profile of Anthropic's own tools that it points at, in the place of a secret."""
        profile = self._data.get("profile")
        return profile if isinstance(profile, str) and len(self._data) == 1 else None

    def fields(self) -> dict[str, object]:
        """Every field for showing, those of `data` as `data.NAME`; all of them are Secrets."""
        shown = super().fields()
        del shown["data"]
        return shown | {f"data.{name}": Secret(_text(value)) for name, value in self._data.items()}

    def secret(self, field: str | None = None) -> Secret:
        """The first of `api_key`, `key`, `token` and `secret` in its data, or the field named.

        Raises UsageError if none of them is there and no field was named.
        """
        if field is None:
            field = next((name for name in self._secrets if name in self._data), None)
        if field is None:
            raise UsageError(
                "this custom credential has several fields",
                hint="Name one with --field: " + ", ".join(sorted(self._data)),
            )
        return self._field(field, self._data)


_KINDS: dict[object, type[Credential]] = {
    "api_key": ApiKey,
    "apikey": ApiKey,
    "oauth": OAuth,
    "custom": Custom,
}


def parse_record(record: Mapping[str, object]) -> Credential:
    """The typed view of a record.

    Raises NotUnderstoodError if its type is unknown or a field that the type needs is
    missing or of the wrong kind. Fields that the type does not know are kept.
    """
    kind = record.get("type")
    view = _KINDS.get(kind) if isinstance(kind, str) else None
    if view is None:
        raise NotUnderstoodError(
            "its type is unknown here" if "type" in record else "it has no type"
        )
    return view(record)


def hidden_fields(record: Mapping[str, object]) -> dict[str, object]:
    """The fields of a record of unknown kind: all but its type are Secrets."""
    return {
        name: value if name == "type" and isinstance(value, str) else Secret(_text(value))
        for name, value in record.items()
    }


def _with_optional(
    record: Record, label: str | None, created_at: int | None, expires_at: int | None
) -> Record:
    optional = {"label": label, "created_at": created_at, "expires_at": expires_at}
    return record | {name: value for name, value in optional.items() if value is not None}


def _require_text(record: Record, field: str) -> None:
    if not isinstance(record.get(field), str):
        raise NotUnderstoodError(f"{field} is missing or not text")


def _moment(record: Record, field: str) -> int | None:
    moment = record.get(field)
    if moment is None:
        return None
    if isinstance(moment, bool) or not isinstance(moment, int | float):
        raise NotUnderstoodError(f"{field} is not a number of seconds")
    if not -_FAR_FUTURE < moment < _FAR_FUTURE:  # also false for NaN
        raise NotUnderstoodError(f"{field} is out of range")
    return int(moment)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    import json  # numbers and objects are rare among secrets

    return json.dumps(value)
