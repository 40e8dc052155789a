"""Find, parse, check and change `config.toml`.

The home of codemesh is `~/.code-mesh`, or the folder that CODEMESH_HOME names; nothing
in the current directory ever matters. Reading goes through `tomllib` and a table of
checks; only a change loads `tomlkit`, which keeps comments and order.

What may stand under `[backends.NAME]` is declared beside each backend, in the backend
table: `Config.check_backends` is handed that table by those who know it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from codemesh.checks import duration, text, text_list
from codemesh.errors import ConfigError, UsageError
from codemesh.files.private import PrivateFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from codemesh.checks import Check
    from codemesh.files.lock import FileLock

HOME_VARIABLE = "CODEMESH_HOME"
_LIMIT = 2**20  # bytes; a configuration is small


_TOP: dict[str, Check] = {"backend": text, "lock_timeout": duration}
_TABLES: dict[str, dict[str, Check]] = {
    "run": {"model": text},
}
_PROVIDER: dict[str, Check] = {
    "name": text,
    "base_url": text,
    "model": text,
    "chat": text,
    "variables": text_list,
    "methods": text_list,
}
_OAUTH: dict[str, Check] = {
    "client_id": text,
    "authorize_url": text,
    "token_url": text,
    "revoke_url": text,
    "create_key_url": text,
    "device_url": text,
    "scopes": text_list,
    "redirect_uri": text,
    "style": text,
}


# -- the configuration ---------------------------------------------------------------


class Config(NamedTuple):
    """A checked configuration: the home folder, and the tables of its config.toml."""

    home: str
    tables: Mapping[str, object]
    raw: bytes | None
    """The bytes that the file had; None where there is no file."""

    @property
    def path(self) -> str:
        """Where config.toml lies, or would lie."""
        return path_of(self.home)

    @property
    def backend(self) -> str | None:
        """The store that the file names; None if it names none."""
        name = self.tables.get("backend")
        return name if isinstance(name, str) else None

    @property
    def lock_timeout(self) -> float:
        """How long a lock is waited for, in seconds."""
        seconds = duration(self.tables.get("lock_timeout", "10s"))
        return seconds if isinstance(seconds, float) else 0.0

    def account(self, provider: str) -> str | None:
        """The default account of a provider, if one is set."""
        account = _table(self.tables, "accounts").get(provider)
        return account if isinstance(account, str) else None

    def backend_options(self, name: str, checks: Mapping[str, Check] | None) -> dict[str, object]:
        """The checked values under `[backends.NAME]`; None checks nothing, for plug-ins.

        Raises ConfigError for an unknown key or a wrong value.
        """
        table = _table(_table(self.tables, "backends"), name)
        if checks is None:
            return dict(table)
        return _check_table(table, checks, f"backends.{name}.", self.path)

    def backend_tables(self) -> list[str]:
        """The names that have a table under `[backends]`."""
        return list(_table(self.tables, "backends"))

    def check_backends(self, known: Mapping[str, Mapping[str, Check]]) -> None:
        """Check every `[backends.NAME]` whose options are known; others belong to plug-ins."""
        for name, checks in known.items():
            self.backend_options(name, checks)

    def lock(self) -> FileLock:
        """The lock that stands for "which store is the store"; every write takes it."""
        from codemesh.files import folder
        from codemesh.files.lock import FileLock

        folder.prepare(self.home)  # as the Rust program leaves it, others may read it
        return FileLock(
            os.path.join(self.home, "state", "config.lock"),
            timeout=self.lock_timeout,
            what=self.home,
        )

    def changed(self) -> bool:
        """Whether the file is another one by now than the one that was read."""
        return _file(self.path).read() != self.raw


def find_home(environ: Mapping[str, str] | None = None) -> str:
    """The absolute path of the home folder, whether it exists or not.

    Raises ConfigError if CODEMESH_HOME is relative, or there is no home directory.
    """
    named = (os.environ if environ is None else environ).get(HOME_VARIABLE)
    home = os.path.expanduser(named or "~/.code-mesh")
    if not os.path.isabs(home):
        if named:
            raise ConfigError(
                f"{HOME_VARIABLE} is a relative path",
                hint="Give an absolute one: the current directory decides nothing here.",
            )
        raise ConfigError("no home directory was found", hint=f"Set {HOME_VARIABLE}.")
    home = os.path.normpath(home)
    if home == os.path.dirname(home):
        # The home folder is made private, and the root folder is everybody's.
        raise ConfigError(f"{HOME_VARIABLE} is {home}", hint="Name a folder of its own.")
    return home


def path_of(home: str) -> str:
    """Where the config.toml of a home folder lies, whether it exists or not."""
    return os.path.join(home, "config.toml")


def load(home: str | os.PathLike[str] | None = None) -> Config:
    """Read and check the config.toml of `home`, by default of `find_home()`.

    No file is the same as an empty one. Nothing is written. Raises ConfigError naming
    the file, the key and the nearest known one, and UnsafeFileError if others may
    write the file: it can name a command to run.
    """
    home = find_home() if home is None else os.fspath(home)
    if not os.path.isabs(home):
        raise ConfigError(f"the folder {home} is a relative path", hint="Give an absolute one.")
    file = _file(path_of(home))
    raw = file.read()
    config = Config(home, {} if raw is None else parse(raw, file.path), raw)
    _check(config)
    return config


def parse(raw: bytes, where: str) -> dict[str, object]:
    """The tables of a TOML text, not yet checked. Raises ConfigError naming `where`."""
    import tomllib

    try:
        return tomllib.loads(raw.decode())
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text", where=where) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not TOML: {error}", where=where) from None
    except ValueError:  # of Python's int, which the reader lets through
        raise ConfigError("holds a number with too many digits", where=where) from None
    except RecursionError:
        raise ConfigError("is nested too deeply", where=where) from None


def set_value(
    config: Config,
    key: str,
    value: object,
    backends: Mapping[str, Mapping[str, Check]] | None = None,
    also: Callable[[Config], object] | None = None,
) -> Config:
    """Change one value of config.toml, given its dotted key, and return what now holds.

    Comments and order stay. A second call with the same value writes the same file.
    `backends` are the options to check as `check_backends` does, and `also` is called with
    what would hold, to refuse it by a ConfigError. The caller holds
    `config.lock()`. Raises ConfigError for an unknown key, a wrong value or a key that
    is no value, and then changes nothing.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    file = _file(config.path)
    raw = file.read() or b""
    parse(raw, config.path)
    *parents, last = key.split(".")
    if not all([*parents, last]):
        raise ConfigError(f"{key or 'an empty text'} is no key", hint="Such as lock_timeout.")
    try:
        document = tomlkit.parse(raw.decode())
        table: object = document
        for parent in parents:
            table = table.setdefault(parent, tomlkit.table()) if isinstance(table, dict) else None
        if not isinstance(table, dict) or isinstance(table.get(last), dict):
            raise ConfigError(f"{key} is not a single value", where=config.path)
        table[last] = value
        changed = tomlkit.dumps(document).encode()
    except UnicodeEncodeError:
        raise ConfigError("the key or the value is not UTF-8 text", where=config.path) from None
    except (TOMLKitError, ValueError):  # a ValueError for a table within an inline one
        raise ConfigError(
            f"{key} cannot be set in a file of this form",
            hint="Nothing was changed. Edit it by hand.",
            where=config.path,
        ) from None
    result = Config(config.home, parse(changed, config.path), changed)
    _check(result)
    result.check_backends(backends or {})
    if also is not None:
        also(result)
    file.replace(changed)
    return load(config.home)


def flatten(tables: Mapping[str, object], prefix: str = "") -> Iterable[tuple[str, object]]:
    """Every value with its dotted key, in the order of the file."""
    for name, value in tables.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def as_toml(value: object) -> str:
    """One value as TOML writes it."""
    import tomlkit

    return tomlkit.item(value).as_string()


def unknown_key(key: str, known: Iterable[str], where: str) -> ConfigError:
    """The error for a key that nothing reads, naming the nearest one that something does."""
    import difflib

    nearest = difflib.get_close_matches(key, list(known), n=1, cutoff=0.4)
    return ConfigError(
        f"unknown key {key}", hint=f"Did you mean {nearest[0]}?" if nearest else "", where=where
    )


def _check(config: Config) -> None:
    """Check everything but the tables of the backends."""
    known = [*_TOP, *_TABLES, "backends", "accounts", "providers"]
    for name, value in config.tables.items():
        if name in _TOP:
            _check_table({name: value}, _TOP, "", config.path)
        elif name not in known:
            raise unknown_key(name, known, config.path)
        elif not isinstance(value, dict):
            raise ConfigError(f"{name} must be a table", where=config.path)
    for name, checks in _TABLES.items():
        _check_table(_table(config.tables, name), checks, f"{name}.", config.path)
    accounts = _table(config.tables, "accounts")
    _check_table(accounts, dict.fromkeys(accounts, text), "accounts.", config.path)
    for name, table in _table(config.tables, "backends").items():
        if not isinstance(table, dict):
            raise ConfigError(f"backends.{name} must be a table", where=config.path)
    for name, table in _table(config.tables, "providers").items():
        _check_provider(name, table, config.path)


def _check_provider(name: str, table: object, where: str) -> None:
    if not isinstance(table, dict):
        raise ConfigError(f"providers.{name} must be a table", where=where)
    oauth = table.get("oauth", {})
    if not isinstance(oauth, dict):
        raise ConfigError(f"providers.{name}.oauth must be a table", where=where)
    _check_table(oauth, _OAUTH, f"providers.{name}.oauth.", where)
    rest = {key: value for key, value in table.items() if key != "oauth"}
    _check_table(rest, _PROVIDER, f"providers.{name}.", where)


def _check_table(
    table: Mapping[str, object], checks: Mapping[str, Check], prefix: str, where: str
) -> dict[str, object]:
    checked = {}
    for key, value in table.items():
        check = checks.get(key)
        if check is None:
            raise unknown_key(prefix + key, (prefix + known for known in checks), where)
        try:
            checked[key] = check(value)
        except ValueError as error:
            raise ConfigError(f"{prefix}{key} {error}", where=where) from None
    return checked


def _table(tables: Mapping[str, object], name: str) -> dict[str, object]:
    table = tables.get(name)
    return table if isinstance(table, dict) else {}


def _file(path: str) -> PrivateFile:
    return PrivateFile(path, limit=_LIMIT, others_may_read=True)


def parse_argument(key: str, argument: str) -> object:
    """The value that a word of the command line stands for.

    A word that reads as a TOML list is a list; anything else is text.
    Raises UsageError for a list that does not read.
    """
    if not argument.startswith("["):
        return argument
    try:
        parsed = parse(f"value = {argument}".encode("utf-8", "surrogateescape"), key)
    except ConfigError as error:
        raise UsageError(f"{key}: not a list: {error.message}") from None
    if len(parsed) != 1:
        raise UsageError(f"{key}: not a list: something stands behind it")
    return parsed["value"]
