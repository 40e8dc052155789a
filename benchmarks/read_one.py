"""What reading one credential costs, in whole processes: `make bench`.

Every figure is a ratio to `python -c pass` of the same environment, taken in the same
run: rounds in which every command runs once, in an order that is shuffled anew. Before
anything is timed, the modules are byte-compiled and every command's output is checked.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

import codemesh
from codemesh.backends import registry
from codemesh.backends._kdf import PROFILES

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sk-made-up-for-the-benchmark"
PASSPHRASE = "made up for the benchmark"  # noqa: S105
ENTRIES = 10
LEAST_ROUNDS = 21
BASELINE = "python -c pass"
BARE_ARGON2 = "Argon2id alone"
BUS = ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")
"""What a keychain of the session is found by."""
FD = "{fd}"
"""Stands in a command for the number of a descriptor that holds the passphrase."""

AIMS = {"plaintext": 3.0, "keychain": 4.5}
"""The most that `auth token` may cost over `python -c pass`, by backend."""
AIM_OVER_ARGON2 = 1.25
"""The same over Argon2id alone, for a store that has to derive its key."""

READ_JSON = """
import json, sys, tomllib
with open(sys.argv[1] + "/config.toml", "rb") as file:
    backend = tomllib.load(file)["backend"]
with open(sys.argv[1] + "/auth.json", "rb") as file:
    print(json.load(file)["credentials"]["openai"]["key"])
"""
RUN_ARGON2 = """
import sys
from argon2.low_level import Type, hash_secret_raw
m, t, p = map(int, sys.argv[1:4])
print(len(hash_secret_raw(b"made up", bytes(16), t, m, p, 32, Type.ID)))
"""


@dataclass
class Case:
    """One command: how it is run, what it must print, and what it may cost."""

    name: str
    command: list[str]
    prints: str
    """A part of its output; all of it where a secret or a version is printed."""

    home: str = ""
    aim: float | None = None
    over: str = BASELINE
    """The case that the aim is a ratio to."""

    times: list[float] = field(default_factory=list)

    def run(self, output: int) -> subprocess.CompletedProcess[str]:
        """Run the command once."""
        with passphrase_pipe() as fd:
            start = time.perf_counter()
            done = subprocess.run(
                [part.replace(FD, str(fd)) for part in self.command],
                check=True,
                env=environ(self.home),
                stdin=subprocess.DEVNULL,
                stdout=output,
                pass_fds=[fd] if FD in self.command else [],
                text=True,
            )
            self.times.append(time.perf_counter() - start)
        return done

    def check(self) -> None:
        """Stop the benchmark if the command does not do its work."""
        printed = self.run(subprocess.PIPE).stdout
        whole = self.prints in {KEY, codemesh.__version__}
        if not (printed.rstrip() == self.prints if whole else self.prints in printed):
            sys.exit(f"{self.name} printed {printed!r} instead of {self.prints!r}")
        self.times.clear()


def environ(home: str) -> dict[str, str]:
    """The environment of every command: little of the caller's is in it."""
    bus = {name: os.environ[name] for name in BUS if name in os.environ}
    return {"PATH": os.defpath, "HOME": home, "CODEMESH_HOME": home, **bus}


@contextmanager
def passphrase_pipe() -> Iterator[int]:
    """A descriptor from which the passphrase can be read once."""
    reader, writer = os.pipe()
    os.write(writer, PASSPHRASE.encode())
    os.close(writer)
    try:
        yield reader
    finally:
        os.close(reader)


def cases(folder: Path, stack: ExitStack) -> list[Case]:
    """Everything that is measured; the backends are those of the table."""
    program = str(Path(sysconfig.get_path("scripts")) / "codemesh")
    found = [Case(BASELINE, [sys.executable, "-c", "pass"], "")]
    for entry in registry.lasting():
        found += token_cases(program, entry.name, str(folder / entry.name), stack)
    home = str(folder / "plaintext")
    version = codemesh.__version__
    return [
        *found,
        Case("json and tomllib alone", [sys.executable, "-c", READ_JSON, home], KEY),
        Case("codemesh --version", [program, "--version"], version, home),
        Case("codemesh --help", [program, "--help"], "migrate", home),
        Case("codemesh auth list (plaintext)", [program, "auth", "list"], "openai", home),
    ]


def token_cases(program: str, backend: str, home: str, stack: ExitStack) -> list[Case]:
    """`auth token` on one backend, and what it is compared with."""
    try:
        asked = fill(backend, home, stack)
    except codemesh.CodemeshError as error:
        print(f"{backend} is left out: {error}", file=sys.stderr)
        return []
    name = f"codemesh auth token ({backend})"
    read = [program, "auth", "token", "openai"]
    if not asked:
        return [Case(name, read, KEY, home, AIMS.get(backend))]
    numbers = map(str, PROFILES["default"])
    read[1:1] = ["--passphrase-fd", FD]
    return [
        Case(name, read, KEY, home, AIM_OVER_ARGON2, BARE_ARGON2),
        Case(BARE_ARGON2, [sys.executable, "-c", RUN_ARGON2, *numbers], "32"),
    ]


def fill(backend: str, home: str, stack: ExitStack) -> bool:
    """Make a store with a few keys in it, and tell whether it wanted a passphrase.

    The stack takes the keys out again: not every backend keeps them in the home folder.
    """
    asked = False

    def prompt(*, new: bool, attempt: int) -> str:
        del new, attempt
        nonlocal asked
        asked = True
        return PASSPHRASE

    os.mkdir(home, 0o700)
    Path(home, "config.toml").write_text(f'backend = "{backend}"\n', encoding="utf-8")
    store = codemesh.open_store(home, prompt=prompt, environ={})
    record = codemesh.ApiKey.new(KEY).to_record()
    names = ["openai", *(f"made-up-{number}" for number in range(1, ENTRIES))]
    store.backend.prepare()
    store.backend.change(dict.fromkeys(names, record))
    stack.callback(store.backend.change, {}, names)
    return asked


def measure(measured: list[Case], rounds: int) -> None:
    """Compile, check, and then time every case once in every round."""
    compileall.compile_dir(os.path.dirname(codemesh.__file__), quiet=1)
    for case in measured:
        case.check()  # which also compiles what the libraries left uncompiled
    for _ in range(rounds):
        for case in random.sample(measured, len(measured)):
            case.run(subprocess.DEVNULL)


def results(measured: list[Case]) -> list[dict[str, object]]:
    """The figures of every case, in milliseconds and as ratios of medians."""
    medians = {case.name: median(case.times) for case in measured}
    found = []
    for case in measured:
        middle = medians[case.name]
        low, _, high = quantiles(case.times, n=4) if len(case.times) > 1 else [middle] * 3
        over = middle / medians[case.over]
        found.append(
            {
                "name": case.name,
                "median_ms": round(middle * 1000, 1),
                "quartiles_ms": [round(low * 1000, 1), round(high * 1000, 1)],
                "ratio": round(middle / medians[BASELINE], 2),
                "aim": case.aim,
                "aim_over": case.over if case.aim is not None else None,
                "over_aim_case": round(over, 2) if case.aim is not None else None,
                "met": over <= case.aim if case.aim is not None else None,
            }
        )
    return found


def environment(rounds: int) -> dict[str, object]:
    """What the figures depend on."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "codemesh": codemesh.__version__,
        "rounds": rounds,
        "byte_compiled": True,
    }


def as_table(about: dict[str, object], figures: list[dict[str, object]]) -> str:
    """The figures as Markdown."""
    where = f"codemesh {about['codemesh']}, Python {about['python']}, {about['system']}"
    lines = [
        f"{where}, {about['date']}; {about['rounds']} shuffled rounds, byte-compiled.",
        "",
        "| command | median ms | quartiles ms | over `python -c pass` | aim |",
        "|---|--:|--:|--:|---|",
    ]
    for figure in figures:
        quartiles = figure["quartiles_ms"]
        low, high = quartiles if isinstance(quartiles, list) else ("", "")
        lines.append(
            f"| {figure['name']} | {figure['median_ms']} | {low} to {high} "
            f"| {figure['ratio']} | {aim_text(figure)} |"
        )
    return "\n".join(lines)


def aim_text(figure: dict[str, object]) -> str:
    """The aim of one case, and whether it was met."""
    if figure["aim"] is None:
        return ""
    met = "met" if figure["met"] else "missed"
    if figure["aim_over"] == BASELINE:
        return f"{figure['aim']}: {met}"
    return f"{figure['aim']} over {figure['aim_over']}: {met} at {figure['over_aim_case']}"


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description="Measure what reading one credential costs.")
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS, help="at least 21 to compare")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if sys.platform == "win32":
        sys.exit("The benchmark hands a passphrase down by descriptor, which needs POSIX.")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        measured = cases(Path(folder), stack)
        measure(measured, options.rounds)
    about = environment(options.rounds)
    figures = results(measured)
    if options.json:
        print(json.dumps({"schema": 1, **about, "results": figures}, indent=2))
    else:
        print(as_table(about, figures))


if __name__ == "__main__":
    main()
