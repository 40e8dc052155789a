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
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

import codemesh
from cases import BASELINE, Case, cases

LEAST_ROUNDS = 21


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
