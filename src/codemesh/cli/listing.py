"""What `auth list` shows: one row for each provider and entry, as text and as JSON; pure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from codemesh import model
from codemesh.cli import terminal
from codemesh.errors import NotUnderstoodError
from codemesh.providers import table as providers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from codemesh.backends.base import Status
    from codemesh.model import Record
    from codemesh.providers.table import Provider

_NAME_WIDTH = 20
_PROVIDER_WIDTH = 15
_DAY = 86_400  # seconds
_SOON = 14 * _DAY
_YEAR_10000 = 253_402_300_800  # UNIX seconds; no calendar here goes further


class Row(NamedTuple):
    """One line of the list."""

    name: str
    provider: str
    """How people call the provider; empty if it is not known here."""

    status: str
    """`authenticated`, `expired`, `login_required`, `not_understood` or `not_authenticated`."""

    kind: str | None = None
    account: str | None = None
    label: str | None = None
    expires_at: int | None = None
    variable: str | None = None
    """The environment variable that the credential comes from; None for the store."""


def rows(
    records: Mapping[str, Record],
    environ: Mapping[str, str],
    now: float,
    known: Sequence[Provider] = providers.TABLE,
) -> list[Row]:
    """The known providers in their order, then every other entry by name."""
    listed = []
    rest = dict(sorted(records.items()))
    for provider in known:
        ids = {provider.id, *provider.aliases}
        own = [name for name in rest if model.split_name(name)[0] in ids]
        found = [_row(name, rest.pop(name), provider.name, now) for name in own]
        found += _from_environment(provider, environ)
        listed += found or [Row(provider.id, provider.name, "not_authenticated")]
    listed += [_row(name, record, "", now) for name, record in rest.items()]
    return listed


def _row(name: str, record: Record, provider: str, now: float) -> Row:
    account = model.split_name(name)[1]
    try:
        credential = model.parse_record(record)
    except NotUnderstoodError:
        return Row(name, provider, "not_understood", account=account)
    status = "expired" if credential.expired(now) else "authenticated"
    if record.get(model.LOGIN_REQUIRED) is True:
        status = model.LOGIN_REQUIRED
    return Row(
        name,
        provider,
        status,
        kind=credential.kind,
        account=account,
        label=credential.label,
        expires_at=credential.expires_at,
    )


def _from_environment(provider: providers.Provider, environ: Mapping[str, str]) -> Iterator[Row]:
    variable = next((name for name in provider.variables if environ.get(name)), None)
    if variable is not None:
        yield Row(provider.id, provider.name, "authenticated", kind="API Key", variable=variable)


def as_json(listed: list[Row], backend: str, status: Status) -> dict[str, object]:
    """The list as a JSON document, without its schema number; never a secret."""
    return {
        "store": {
            "backend": backend,
            "where": status.where,
            "encrypted": status.encrypted,
            "exists": status.exists,
        },
        "credentials": [
            {
                "name": row.name,
                "provider": model.split_name(row.name)[0],
                "account": row.account,
                "status": row.status,
                "kind": row.kind and row.kind.lower().replace(" ", "_"),
                "expires_at": row.expires_at,
                "label": row.label,
                "source": None if row.status == "not_authenticated" else _source(row),
                "variable": row.variable,
            }
            for row in listed
        ],
    }


def _source(row: Row) -> str:
    return "environment" if row.variable else "store"


def as_text(
    listed: list[Row], backend: str, status: Status, now: float, *, decorated: bool
) -> str:
    """The list as people read it; with emoji only where that is wanted."""
    width = max([_NAME_WIDTH, *(len(terminal.clean(row.name)) for row in listed)])
    lines = ["🔑 Authentication Status" if decorated else "Authentication Status", ""]
    for row in listed:
        cells = f"{terminal.clean(row.name):<{width}} {row.provider:<{_PROVIDER_WIDTH}} "
        notes = "  ".join(_notes(row, now))
        line = f"{cells}{_status(row, decorated=decorated)}  {notes}"
        lines.append(line.rstrip())
    where = terminal.clean(terminal.short_path(status.where))
    absent = "" if status.exists else ", not there yet"
    storage = f"Storage: {where} ({backend}{absent})"
    return "\n".join([*lines, "", f"📁 {storage}" if decorated else storage])


def _status(row: Row, *, decorated: bool) -> str:
    mark = ("✅ " if row.status == "authenticated" else "❌ ") if decorated else ""
    text = row.status.replace("_", " ").capitalize()
    return f"{mark}{text} ({row.kind})" if row.kind else mark + text


def _notes(row: Row, now: float) -> Iterator[str]:
    if row.account:
        yield f"account {terminal.clean(row.account)}"
    if row.expires_at is not None:
        yield _expiry(row.expires_at, now)
    if row.variable:
        yield f"from {row.variable}"
    if row.label:
        yield f'"{terminal.clean(row.label)}"'


def _expiry(expires_at: int, now: float) -> str:
    left = expires_at - now
    if left <= 0:
        return f"since {_day(expires_at)}"
    if left < _DAY:
        return f"expires in {max(1, int(left // 60))} minutes"
    days = f" (in {int(left // _DAY)} days)" if left < _SOON else ""
    return f"expires {_day(expires_at)}{days}"


def _day(seconds: int) -> str:
    return moment(seconds).partition(" ")[0] if seconds < _YEAR_10000 else moment(seconds)


def span(seconds: float) -> str:
    """A length of time as people read it, in its two largest units."""
    minutes = max(0, round(seconds / 60))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "min"))]
    told = [part for part in parts if not part.startswith("0 ")][:2]
    return " ".join(told) or "less than a minute"


def moment(seconds: int) -> str:
    """A moment in UNIX seconds as people read it, in UTC."""
    if not 0 <= seconds < _YEAR_10000:
        return "in a far future" if seconds > 0 else "in a far past"
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
