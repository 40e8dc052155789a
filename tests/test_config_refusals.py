"""Configurations that a reader of TOML or the file system takes, and codemesh refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codemesh import config
from codemesh.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

INLINE = 'backends = {plaintext = {path = "auth.json"}}\n'


def test_a_number_with_too_many_digits_is_a_wrong_configuration(config_file: Path) -> None:
    """Python refuses to read it with an error of its own, which must not get through."""
    config_file.write_text("lock_timeout = " + "1" * 5000, encoding="utf-8")

    with pytest.raises(ConfigError, match="too many digits") as caught:
        config.load(str(config_file.parent))

    assert caught.value.where == str(config_file)


def test_a_table_that_fits_nowhere_is_refused_and_the_file_kept(config_file: Path) -> None:
    """An inline table takes no table, so that value is for an editor to set."""
    config_file.write_text(INLINE, encoding="utf-8")
    loaded = config.load(str(config_file.parent))

    with loaded.lock(), pytest.raises(ConfigError, match="cannot be set"):
        config.set_value(loaded, "backends.encrypted.path", "vault.json")

    assert config_file.read_text(encoding="utf-8") == INLINE


@pytest.mark.parametrize("named", ["/", "//", "/..", "/usr/.."])
def test_the_root_folder_is_no_home(named: str) -> None:
    """The first write would have kept everybody but its owner out of the machine."""
    environ = {"CODEMESH_HOME": named}

    with pytest.raises(ConfigError, match="CODEMESH_HOME is /"):
        config.find_home(environ)
