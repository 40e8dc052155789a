"""A user whose every secret is marked, and whose every output is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commandline import CommandLine, Outcome, sealed

if TYPE_CHECKING:
    from pathlib import Path

    from codemesh.model import Record

MARK = "canary7e1f93"
PASSPHRASE = f"pass {MARK} phrase"
RECORDS: dict[str, Record] = {
    "openai": {"type": "apikey", "key": f"sk-{MARK}"},
    "azure": {
        "type": "custom",
        "data": {"endpoint": f"x{MARK}", "api_key": MARK, "n": {"k": MARK}},
    },
    "google": {"type": "oauth", "access_token": MARK, "refresh_token": MARK, "id_token": MARK},
    "expired": {"type": "oauth", "access_token": MARK, "refresh_token": MARK, "expires_at": 1},
    "future": {"type": "passkey", "blob": MARK, "more": [{"deep": MARK}]},
    "halved": {"type": "oauth", "refresh_token": MARK},
    "odd": {"type": "api_key", "key": MARK, "expires_at": MARK},
}


class Watched(CommandLine):
    """A command line with marked secrets, whose every output is looked at."""

    def __init__(self, home: Path, store: str) -> None:
        super().__init__(home)
        self.store = store
        (home / "tmp").mkdir()
        self.environ |= {"TMPDIR": str(home / "tmp"), "CODEMESH_DEBUG": "1"}
        if store == "encrypted":
            self.write(self.vault, sealed(RECORDS, passphrase=PASSPHRASE))
        else:
            self.keep(RECORDS)
        self.choose(store)

    @property
    def path(self) -> Path:
        """The store's file."""
        return self.vault if self.store == "encrypted" else self.plaintext

    def watch(self, *arguments: str, **options: str | bytes) -> Outcome:
        """Run a command that was not asked for a secret, and see that it shows none."""
        outcome = self.run(
            *arguments,
            stdin=options.get("stdin", ""),
            passphrase=str(options.get("passphrase", PASSPHRASE)),
            through=str(options.get("through", "")),
            environ={"KILL_AT": str(options.get("hook", ""))},
        )
        assert MARK not in outcome.stdout + outcome.stderr, arguments
        return outcome

    def traces(self) -> list[str]:
        """The files with the mark in their name or content, but for a plaintext store."""
        return [
            str(path.relative_to(self.home))
            for path in sorted(self.home.rglob("*"))
            if path != self.plaintext
            and (MARK in path.name or (path.is_file() and MARK.encode() in path.read_bytes()))
        ]
