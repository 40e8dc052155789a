"""A store behind a link: which links are followed, and which are refused."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from codemesh.errors import CodemeshError, UnsafeFileError
from codemesh.files._system import system
from codemesh.files.private import PrivateFile
from files_support import NEW, NOBODY, OLD, as_root, mode_of, private_file, refused

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform == "win32":
    pytest.skip("modes and owners of POSIX", allow_module_level=True)


@pytest.mark.parametrize("relative", [True, False])
def test_link_to_a_file_of_ours_is_followed(
    private: Path, tmp_path: Path, *, relative: bool
) -> None:
    """A save through a link of ours changes its target, and the link stays."""
    real = tmp_path / "dotfiles"
    real.mkdir(mode=0o755)
    target = private_file(real / "store.json")
    link = private / "auth.json"
    link.symlink_to("../dotfiles/store.json" if relative else target)
    file = PrivateFile(str(link))

    assert file.read() == OLD
    file.replace(NEW)

    assert link.is_symlink()
    assert target.read_bytes() == NEW
    assert file.read() == NEW
    assert file.real_path() == str(target)
    assert os.listdir(private) == ["auth.json"]
    assert mode_of(real) == 0o755
    assert file.problems() == []


def test_dangling_link_counts_as_absent(private: Path, tmp_path: Path) -> None:
    """A safe link to nothing reads as None, and a save makes its target."""
    target = tmp_path / "store.json"
    (private / "auth.json").symlink_to(target)
    file = PrivateFile(str(private / "auth.json"))

    assert file.read() is None
    assert file.problems() == []
    file.replace(NEW)

    assert target.read_bytes() == NEW
    assert mode_of(target) == 0o600
    assert (private / "auth.json").is_symlink()


def test_remove_takes_the_target_and_leaves_the_link(private: Path, tmp_path: Path) -> None:
    """The content is gone, and the link still leads the next save."""
    target = private_file(tmp_path / "store.json")
    (private / "auth.json").symlink_to(target)
    file = PrivateFile(str(private / "auth.json"))

    file.remove()
    file.remove()

    assert not target.exists()
    assert (private / "auth.json").is_symlink()
    assert file.read() is None


def test_link_to_a_link_is_refused(private: Path, tmp_path: Path) -> None:
    """A link to a link is refused, and what the second one leads to stays as it is."""
    target = private_file(tmp_path / "store.json")
    (tmp_path / "second").symlink_to(target)
    (private / "auth.json").symlink_to(tmp_path / "second")

    assert "link" in refused(private / "auth.json")
    assert target.read_bytes() == OLD
    assert [p.id for p in PrivateFile(str(private / "auth.json")).problems()] == ["unsafe-link"]


def test_link_to_itself_is_refused(private: Path) -> None:
    """A link to itself is refused, as any link to a link."""
    (private / "auth.json").symlink_to("auth.json")

    assert "link" in refused(private / "auth.json")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_link_into_a_folder_of_everybody_is_refused(
    private: Path, tmp_path: Path, mode: int
) -> None:
    """A link into a folder that others may write is refused, whether the target is there."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(mode)
    link = private / "auth.json"
    link.symlink_to(shared / "store.json")

    assert "others may write" in refused(link)
    private_file(shared / "store.json")
    assert "others may write" in refused(link)

    assert (shared / "store.json").read_bytes() == OLD


def test_link_through_a_folder_of_everybody_is_refused(private: Path, tmp_path: Path) -> None:
    """A link is refused if others may write any folder on its way, not just the last one."""
    shared = tmp_path / "shared"
    inner = shared / "inner"
    inner.mkdir(parents=True, mode=0o700)
    shared.chmod(0o777)
    target = private_file(inner / "store.json")
    (private / "auth.json").symlink_to(target)

    assert "others may write" in refused(private / "auth.json")
    assert target.read_bytes() == OLD
    if os.geteuid() == 0:
        shared.chmod(0o1777)
        assert PrivateFile(str(private / "auth.json")).read() == OLD


def test_link_through_linked_folders(private: Path, tmp_path: Path) -> None:
    """Links to folders on the way are taken, dot-dot by dot-dot, when they are ours."""
    (tmp_path / "real" / "deep").mkdir(parents=True, mode=0o700)
    target = private_file(tmp_path / "real" / "store.json")
    (tmp_path / "short").symlink_to("real/deep")
    (private / "auth.json").symlink_to("../short/.././store.json")
    file = PrivateFile(str(private / "auth.json"))

    assert file.read() == OLD
    assert file.real_path() == str(target)


def test_link_through_a_loop_of_folders_is_refused(private: Path, tmp_path: Path) -> None:
    """A link through folders that lead to each other is refused, and not followed for ever."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (private / "auth.json").symlink_to(tmp_path / "a" / "store.json")

    assert "too many links" in refused(private / "auth.json")


@pytest.mark.parametrize("text", ["missing/store.json", "other/store.json/x", "..", "other/."])
def test_link_to_no_possible_file_is_refused(private: Path, text: str) -> None:
    """A link to where no file can be is refused, as its disk may not be mounted."""
    (private / "other").mkdir()
    private_file(private / "other" / "store.json")
    (private / "auth.json").symlink_to(text)

    assert "auth.json" in refused(private / "auth.json")
    assert (private / "other" / "store.json").read_bytes() == OLD


@as_root
@pytest.mark.parametrize("part", ["link", "target", "folder", "step"])
def test_link_that_others_had_a_hand_in_is_refused(
    private: Path, tmp_path: Path, part: str
) -> None:
    """Link, target and every folder on the way must be ours or, a folder, root's."""
    step = tmp_path / "step"
    (step / "folder").mkdir(parents=True, mode=0o700)
    target = private_file(step / "folder" / "store.json")
    link = private / "auth.json"
    link.symlink_to(target)
    victim = {"link": link, "target": target, "folder": step / "folder", "step": step}[part]
    os.chown(victim, NOBODY, NOBODY, follow_symlinks=False)

    sentence = refused(link)

    assert "another user" in sentence
    assert target.read_bytes() == OLD


def test_folder_behind_a_link(private: Path, tmp_path: Path) -> None:
    """The folder may be a link of ours; when it leads nowhere, nothing is made up."""
    (tmp_path / "short").symlink_to("home")
    (tmp_path / "nowhere").symlink_to("unmounted")

    PrivateFile(str(tmp_path / "short" / "auth.json")).replace(NEW)

    assert (private / "auth.json").read_bytes() == NEW
    assert "folder that is missing" in refused(tmp_path / "nowhere" / "auth.json")
    assert not (tmp_path / "unmounted").exists()


def test_exchange_for_a_link_between_look_and_open(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that takes the place of the file at the last moment is not followed."""
    elsewhere = private_file(tmp_path / "elsewhere")
    original = system.Directory.open

    def exchange(directory: system.Directory, name: str) -> int:
        store.unlink()
        store.symlink_to(elsewhere)
        return original(directory, name)

    monkeypatch.setattr(system.Directory, "open", exchange)

    with pytest.raises(CodemeshError):
        PrivateFile(str(store)).read()


def test_exchange_for_a_loose_file_between_look_and_open(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose mode is loosened at the last moment is not read."""
    original = system.Directory.open

    def exchange(directory: system.Directory, name: str) -> int:
        store.chmod(0o644)
        return original(directory, name)

    monkeypatch.setattr(system.Directory, "open", exchange)

    with pytest.raises(UnsafeFileError, match="0644"):
        PrivateFile(str(store)).read()
