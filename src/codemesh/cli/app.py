"""The Typer application: the global options, and every command group."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from codemesh import __version__
from codemesh.cli import (
    INTERRUPTED,
    asking,
    auth,
    doctor,
    protection,
    providers,
    settings,
    stores,
    terminal,
)
from codemesh.cli.options import PassphraseFd
from codemesh.cli.session import session_of
from codemesh.errors import UsageError

if TYPE_CHECKING:
    from codemesh.cli.session import Session

app = typer.Typer(
    name="codemesh",
    help="Keep the credentials of AI providers in one store of your choice.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # plain help: rich would cost half of the start
    pretty_exceptions_enable=False,  # they show local variables
)
app.add_typer(auth.app, name="auth")
app.add_typer(stores.app, name="backend")
app.add_typer(settings.app, name="config")
app.command("run")(asking.run)
app.add_typer(asking.app, name="sessions")
app.command("migrate")(stores.migrate)
app.command("unlock")(protection.unlock)
app.command("lock")(protection.lock)
app.command("passwd")(protection.passwd)
app.command("providers")(providers.providers)
app.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        terminal.out(__version__)
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more.")] = False,
    passphrase_fd: PassphraseFd = None,
    version: Annotated[  # noqa: ARG001  its callback does the work
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """Keep the credentials of AI providers in one store of your choice."""
    session = session_of(ctx)
    session.quiet = quiet
    session.verbose = verbose
    session.passphrase_fd = passphrase_fd


def run(arguments: list[str], session: Session) -> int:
    """Run one command and return its exit status; errors of codemesh pass through."""
    try:
        status = app(args=arguments, prog_name=_name(), standalone_mode=False, obj=session)
    except typer.TyperException as error:
        _explain(error)
        return UsageError.exit_code
    except typer.Abort:
        return 1
    except OSError as error:
        if not {"-h", "--help", "--show-completion"} & set(arguments):
            raise
        raise terminal.unwritable(error) from None  # Typer printed, not we
    if status == INTERRUPTED:  # Typer's word for Ctrl-C
        raise KeyboardInterrupt
    return status if isinstance(status, int) else 0


def _name() -> str:
    """The name that the program was called by, which completion is installed for."""
    called = os.path.basename(sys.argv[0]).removesuffix(".exe")
    return called if called in {"codemesh", "code-mesh"} else "codemesh"


def _explain(error: typer.TyperException) -> None:
    """Say what is wrong with the command line, without words that could be secrets."""
    message = error.format_message()
    if message.startswith("Usage:"):  # a group without a command: the message is its help
        sys.stderr.write(message + "\n")
        return
    if "extra argument" in message:
        message = "There are too many arguments. A secret is never one: pipe it in."
    elif message.startswith("Invalid value"):
        message = message.partition(": ")[0] + f": {_wanted(error)}."
    context = getattr(error, "ctx", None)
    terminal.say(f"codemesh: {message}")
    if context is not None:
        terminal.say(f"See: {context.command_path} --help")


def _wanted(error: typer.TyperException) -> str:
    """What an option takes, said without the value that it was given."""
    kind = getattr(getattr(error, "param", None), "type", None)
    choices = getattr(kind, "choices", ())
    if choices:
        return "it takes " + " or ".join(getattr(choice, "value", choice) for choice in choices)
    return "it takes a number" if "int" in getattr(kind, "name", "") else "it cannot be that"
