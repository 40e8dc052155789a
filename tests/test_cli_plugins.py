"""A backend of another package: used when config.toml names it, and told when it fails."""

from __future__ import annotations

import pytest

from commandline import ONE, CommandLine, assert_refused

GOOD = """
print("this plug-in was loaded")
from codemesh.backends.memory import MemoryBackend
class Backend(MemoryBackend):
    name = "drawer"
"""
BROKEN = {
    "a missing module": "import no_such_module_here",
    "a missing class": "x = 1",
}


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """A user with a credential, and a package beside that brings a backend called drawer."""
    cli.keep(ONE)
    plugin(cli, GOOD)
    cli.environ["PYTHONPATH"] = str(cli.home / "site")
    return cli


def plugin(cli: CommandLine, source: str) -> None:
    about = cli.home / "site" / "drawer-1.dist-info"
    cli.write(about / "METADATA", "Metadata-Version: 2.1\nName: drawer\nVersion: 1\n")
    cli.write(about / "entry_points.txt", "[codemesh.backends]\ndrawer = drawer_plugin:Backend\n")
    cli.write(cli.home / "site" / "drawer_plugin.py", source)


def test_a_plug_in_is_loaded_when_it_is_named(cli: CommandLine) -> None:
    """Nothing of it is loaded until config.toml names it; then it is the store."""
    before = cli.run("auth", "list")
    cli.choose("drawer")

    after = cli.run("auth", "list")

    assert "plug-in was loaded" not in before.stdout
    assert after.status == 0
    assert after.stdout.startswith("this plug-in was loaded\n")
    assert "Authenticated (" not in after.stdout


def test_a_plug_in_has_options_of_its_own(cli: CommandLine) -> None:
    """The table of a plug-in in config.toml is its own business."""
    cli.write(cli.config, 'backend = "drawer"\n[backends.drawer]\nhandle = "brass"\n')

    assert cli.run("auth", "list").status == 0


@pytest.mark.parametrize("kind", BROKEN)
def test_a_plug_in_that_cannot_be_loaded_is_told(cli: CommandLine, kind: str) -> None:
    """A backend that does not load ends with 5, and says which one."""
    plugin(cli, BROKEN[kind])
    cli.choose("drawer")

    for command in (["auth", "list"], ["auth", "token", "openai"]):
        outcome = cli.run(*command)

        assert_refused(outcome, 5, "drawer")
