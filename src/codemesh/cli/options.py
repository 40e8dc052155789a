"""The arguments and options that several commands share, each worded once."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

Name: TypeAlias = Annotated[str, typer.Argument(help="PROVIDER or PROVIDER/ACCOUNT.")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
PassphraseFd: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=0, max=2**31 - 1, metavar="N", help="Read the passphrase from this descriptor."
    ),
]
NewPassphraseFd: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=0, max=2**31 - 1, metavar="N", help="Read the new passphrase from this descriptor."
    ),
]
