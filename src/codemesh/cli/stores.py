"""`codemesh backend` and `codemesh migrate`: see the stores, choose one, move."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from codemesh import config as configuration
from codemesh import migration
from codemesh.backends import registry
from codemesh.choice import backends, existing, open_backend, store_paths
from codemesh.cli import listing, terminal
from codemesh.cli.options import Json, PassphraseFd
from codemesh.cli.session import session_of
from codemesh.errors import CodemeshError, ConfigError
from codemesh.migration import Options, Plan, Progress, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from codemesh.cli.session import Session
    from codemesh.store import Store

app = typer.Typer(help="See and choose where credentials are kept.", no_args_is_help=True)

_LONG = 200  # entries; below that a progress bar only flickers


@app.command("list")
def list_backends(ctx: typer.Context, json: Json = False) -> None:
    """Show every kind of store, and the one in use."""
    store = session_of(ctx).store()
    found = [_describe(store, entry) for entry in backends(store.config)]
    if json:
        terminal.out_json({"backends": found})
        return
    for backend in found:
        mark = "*" if backend["in_use"] else " "
        terminal.show(f"{mark} {backend['name']:<12} {backend['summary']}")
        terminal.show(f"  {'':<12} {terminal.clean(str(backend['state']))}")


@app.command()
def use(ctx: typer.Context, name: Annotated[str, typer.Argument(help="The backend.")]) -> None:
    """Use another store from now on; nothing moves."""
    session = session_of(ctx)
    select(session, name)


def select(session: Session, name: str) -> None:
    """Write the backend into config.toml, and say where credentials are left behind."""
    if not registry.find(name).lasting:
        raise ConfigError(f"the {name} backend keeps nothing; it is for tests")
    with session.config().lock():
        config = session.config()
        left = {*existing(config)} - {name}
        if config.backend is not None and config.backend not in {*store_paths(config), name}:
            left.add(config.backend)  # a plug-in, which may have a store or not
        configuration.set_value(config, "backend", name)
    session.say(f"Credentials are now kept in the {name} store.")
    for other in sorted(left):
        session.say(
            f"What the {other} store has stays there. "
            f"To move it: codemesh migrate {name} --from {other}"
        )


def _describe(store: Store, entry: registry.Entry) -> dict[str, object]:
    described: dict[str, object] = {
        "name": entry.name,
        "summary": entry.summary,
        "in_use": entry.name == store.backend.name,
        "available": True,
        "where": None,
        "encrypted": None,
        "exists": None,
        "locked": None,
        "entries": None,
        "unlocked_until": None,
    }
    try:
        status = open_backend(store.config, entry.name, store.unlocking).status()
    except CodemeshError as error:
        return {**described, "available": False, "state": str(error)}
    if not status.exists:
        state = f"not there yet: {terminal.short_path(status.where)}"
    elif status.locked:
        state = f"locked: {terminal.short_path(status.where)}"
    elif status.entries is None:
        state = f"open: {terminal.short_path(status.where)}"
    else:
        entries = "1 credential" if status.entries == 1 else f"{status.entries} credentials"
        state = f"{entries}: {terminal.short_path(status.where)}"
    if status.unlocked_until is not None:
        state += f", unlocked until {listing.moment(status.unlocked_until)}"
    return {**described, **status._asdict(), "state": state}


def migrate(
    ctx: typer.Context,
    to: Annotated[str, typer.Argument(help="The store to move to.")],
    source: Annotated[
        str | None,
        typer.Option("--from", help="The store to move from; by default the one in use."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the source as it is.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over entries that differ at the target.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")
    ] = False,
    passphrase_fd: PassphraseFd = None,
    json: Json = False,
) -> None:
    """Move every credential to another store."""
    session = session_of(ctx)
    if passphrase_fd is not None:
        session.passphrase_fd = passphrase_fd
    store = session.store()
    if dry_run:
        planned = migration.plan(store, to, source)
        if json:
            terminal.out_json(_as_json(planned, overwrite) | {"dry_run": True})
        else:
            _show_plan(planned, overwrite=overwrite)
        return
    with _progress(session) as step:
        result = migration.migrate(store, to, source, Options(keep, overwrite), step)
    if json:
        terminal.out_json(
            _as_json(result.plan, overwrite)
            | {"dry_run": False, "switched": result.switched, "source_removed": result.removed}
        )
    else:
        _tell(session, store, result)


@contextmanager
def _progress(session: Session) -> Iterator[Progress]:
    """A progress bar on the terminal, for migrations that are long enough to want one."""
    # Nothing else may get it: a stream that takes no more must not stop a migration.
    watched = not session.quiet and sys.stderr is not None and sys.stderr.isatty()
    with ExitStack() as stack:
        advance: Callable[[int], None] | None = None
        shown = 0

        def step(phase: str, done: int, total: int) -> None:
            nonlocal advance, shown
            if not watched or total < _LONG or phase != "verify":
                return
            if advance is None:
                bar = typer.progressbar(length=total, label="Reading back", file=sys.stderr)
                advance = stack.enter_context(bar).update
            if done - shown >= total // 100 or done == total:
                advance(done - shown)
                shown = done

        yield step


def _actions(planned: Plan, *, overwrite: bool) -> dict[str, str]:
    differing = "overwrite" if overwrite else "conflict"
    return (
        dict.fromkeys(planned.moves, "move")
        | dict.fromkeys(planned.identical, "identical")
        | dict.fromkeys(planned.conflicts, differing)
    )


def _as_json(planned: Plan, overwrite: bool) -> dict[str, object]:
    return {
        "from": planned.source,
        "to": planned.target,
        "entries": [
            {"name": name, "action": action}
            for name, action in sorted(_actions(planned, overwrite=overwrite).items())
        ],
    }


def _show_plan(planned: Plan, *, overwrite: bool) -> None:
    terminal.show(f"From {planned.source} to {planned.target}:")
    for name, action in sorted(_actions(planned, overwrite=overwrite).items()):
        terminal.show(f"  {action:<10} {terminal.clean(name)}")
    terminal.show("Nothing was changed.")


def _tell(session: Session, store: Store, result: Result) -> None:
    planned = result.plan
    count = len(_actions(planned, overwrite=False))
    if planned.source == planned.target:
        session.say(f"{planned.target} is the store already; there is nothing to move.")
        return
    if not count:
        session.say(f"There was nothing left to move from {planned.source}.")
        session.say(f"The store is now {store.backend.name}.")
        return
    moved = "1 credential" if count == 1 else f"{count} credentials"
    session.say(
        f"Moved {moved} from {planned.source} to {planned.target}, each read back and compared."
    )
    session.say(f"The store is now {store.backend.name}.")
    if not result.removed:
        session.say(f"The {planned.source} store still has them.")
