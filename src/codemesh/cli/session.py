"""What one run of the command line has: its environment and its global options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codemesh.choice import Unlocking, load_config
from codemesh.cli import terminal
from codemesh.providers import table
from codemesh.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import typer

    from codemesh.config import Config
    from codemesh.providers.table import Provider


class Session:
    """One run of codemesh."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        """The environment as it was at the start, the passphrase included."""

        self.passphrase_fd: int | None = None
        self.quiet = False
        self.verbose = False

    def config(self) -> Config:
        """The checked configuration."""
        return load_config()

    def store(self, *, ask: bool = True) -> Store:
        """The store that config.toml names; it asks at the terminal if it must, and may."""
        prompt = _ask if ask else None
        unlocking = Unlocking(fd=self.passphrase_fd, environ=self.environ, prompt=prompt)
        store = Store(self.config(), unlocking)
        if self.verbose:
            terminal.say(f"home {store.config.home}, backend {store.backend.name}")
        return store

    def providers(self) -> Sequence[Provider]:
        """Every provider, as config.toml has it; pydantic is loaded only if that says anything."""
        config = self.config()
        if "providers" not in config.tables:
            return table.TABLE
        from codemesh.providers import settings

        return settings.resolve(config)

    def say(self, text: str) -> None:
        """Say something that `-q` keeps back."""
        if not self.quiet:
            terminal.say(text)

    def announce(self, store: Store, where: str) -> None:
        """Say which store was chosen, if a write of this run chose it."""
        if store.chosen_now:
            if store.passed_over:
                self.say(f"{store.passed_over[:1].upper()}{store.passed_over[1:]}.")
            self.say(f"First credential: the store is now {where} ({store.backend.name}).")
            self.say(
                "To move it later: codemesh migrate NAME (for the names: codemesh backend list)"
            )


def _ask(*, new: bool, attempt: int) -> str:
    from codemesh.cli import passphrase  # most runs ask nothing

    return passphrase.ask(new=new, attempt=attempt)


def session_of(ctx: typer.Context) -> Session:
    """The session that the entry point put into Typer's context."""
    session = ctx.find_object(Session)
    if session is None:
        raise TypeError("the command was not started through codemesh.cli.main")
    return session
