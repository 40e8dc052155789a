"""`codemesh doctor`: look at everything, and mend what can be mended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from codemesh import config as configuration
from codemesh import diagnosis
from codemesh.choice import Unlocking
from codemesh.cli import terminal
from codemesh.cli.options import Json
from codemesh.cli.session import session_of

if TYPE_CHECKING:
    from codemesh.cli.session import Session
    from codemesh.diagnosis import Finding

_ROUNDS = 3  # mending a folder can bring its files into view


def doctor(
    ctx: typer.Context,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended.")] = False,
    accept_rollback: Annotated[
        bool,
        typer.Option("--accept-rollback", help="Take an older or forked store for the newest."),
    ] = False,
    json: Json = False,
) -> None:
    """Find what is wrong, and mend what can be mended."""
    session = session_of(ctx)
    home = configuration.find_home()
    # What was asked and derived to accept a rollback is not asked and derived again.
    opened = _accept_rollback(session).opened if accept_rollback else None
    sources = Unlocking(fd=session.passphrase_fd, environ=session.environ, opened=opened)
    findings = list(diagnosis.examine(home, sources))
    mended: list[Finding] = []
    for _ in range(_ROUNDS if fix else 0):
        done, failed = diagnosis.mend(findings)
        for failure in failed:
            terminal.say(failure)
        if not done:
            break
        mended += done
        findings = list(diagnosis.examine(home, sources))
    if json:
        terminal.out_json(_as_json(mended, findings))
    else:
        _tell(mended, findings, home)
    if any(finding.problem for finding in findings):
        raise typer.Exit(1)


def _accept_rollback(session: Session) -> Unlocking:
    store = session.store()
    revision = store.backend.accept_revision()
    where = terminal.short_path(store.status().where)
    if revision is None:
        session.say(f"{where} has no revisions to accept.")
    else:
        session.say(f"Revision {revision} of {where} is now the newest that was seen here.")
    return store.unlocking


def _as_json(mended: list[Finding], findings: list[Finding]) -> dict[str, object]:
    return {
        "ok": not any(finding.problem for finding in findings),
        "findings": [
            {
                "check": finding.check,
                "message": finding.message,
                "problem": finding.problem,
                "mended": is_mended,
                "mendable": finding.mend is not None,
                "advice": finding.advice,
            }
            for is_mended, group in ((True, mended), (False, findings))
            for finding in group
        ],
    }


def _tell(mended: list[Finding], findings: list[Finding], home: str) -> None:
    for finding in mended:
        terminal.show(f"mended   {terminal.clean(finding.message)}")
        if finding.advice:
            terminal.show(f"         {terminal.clean(finding.advice)}")
    for finding in findings:
        level = "problem" if finding.problem else "note"
        terminal.show(f"{level:<8} {terminal.clean(finding.message)}")
        advice = "Mend it: codemesh doctor --fix" if finding.mend else finding.advice
        if advice:
            terminal.show(f"         {terminal.clean(advice)}")
    if not any(finding.problem for finding in findings):
        terminal.show(f"{terminal.clean(terminal.short_path(home))}: no problem found.")
