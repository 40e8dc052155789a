"""Conversations are kept as private files, each one found by the start of its id."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from codemesh import sessions
from codemesh.errors import (
    CodemeshError,
    DamagedError,
    NewerVersionError,
    StorageError,
    TooLargeError,
    UnsafeFileError,
    UsageError,
)
from codemesh.sessions import Listed, Session, Turn
from files_support import mode_of

if TYPE_CHECKING:
    from pathlib import Path

NOON = 1_700_000_000  # 2023-11-14, 22:13:20 UTC
ASKED = (Turn("user", "Grüß Gott 👋\nand more"), Turn("assistant", "hello \x1b[31m \u2028"))

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes are those of POSIX")


def made(name: str, *, at: int = NOON, turns: tuple[Turn, ...] = ASKED) -> Session:
    """A session with this id, changed at that time."""
    session = sessions.begun("anthropic", "model-1", now=NOON)._replace(id=name)
    return sessions.continued(session, turns, now=at)


def saved(home: Path, *names: str) -> None:
    for name in names:
        sessions.save(str(home), made(name))


def path(home: Path, name: str) -> Path:
    return home / "sessions" / f"{name}.json"


A, B, C = "20231114-221320-aaaaaa", "20231114-221320-aabbbb", "20240101-000000-cccccc"


# -- one session ---------------------------------------------------------------------------


def test_a_session_begins_with_an_id_of_its_own() -> None:
    """It is the time in UTC, and never the same twice."""
    one, other = (sessions.begun("openai", "model-1", now=NOON + 0.9) for _ in range(2))

    assert re.fullmatch("20231114-221320-[0-9a-f]{6}", one.id)
    assert one.id != other.id
    assert one[1:] == (NOON, NOON, "openai", "model-1", (), "")


def test_a_session_goes_on() -> None:
    """The first message stays its title, and only the time of the change moves."""
    session = sessions.continued(made(A), [Turn("user", "again")], now=NOON + 7)

    assert session.messages == (*ASKED, Turn("user", "again"))
    assert session.title == "Grüß Gott 👋"
    assert (session.created_at, session.updated_at) == (NOON, NOON + 7)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("", ""),
        (" \n ", ""),
        ("\n\n  one \r\ntwo", "one"),
        ("x" * 61, "x" * 60),
        ("a\x1b[31mb\u202ec\x9b", "a[31mbc"),
        ("one\u2028two", "one"),
    ],
)
def test_a_title_is_one_short_printable_line(text: str, title: str) -> None:
    """Whatever was asked."""
    assert sessions.title_of([Turn("user", text), Turn("assistant", "no")]) == title
    assert sessions.title_of([]) == ""


def test_a_session_reads_back_as_it_was_saved(home: Path) -> None:
    """To the last sign."""
    session = made(A)

    sessions.save(str(home), session)

    assert sessions.load(str(home), A) == session


def test_the_file_is_plain_json(home: Path) -> None:
    """Its shape is for other programs, too."""
    sessions.save(str(home), made(A, turns=(Turn("user", "hello"),)))

    assert json.loads(path(home, A).read_bytes()) == {
        "version": 1,
        "id": A,
        "created_at": NOON,
        "updated_at": NOON,
        "provider": "anthropic",
        "model": "model-1",
        "messages": [{"role": "user", "content": "hello"}],
        "title": "hello",
    }


def test_a_session_that_is_saved_again_is_replaced(home: Path) -> None:
    """Nothing but the file is left."""
    saved(home, A)
    session = made(A, turns=())

    sessions.save(str(home), session)

    assert sessions.load(str(home), A) == session
    assert os.listdir(home / "sessions") == [f"{A}.json"]


@pytest.mark.parametrize("name", ["", "../auth", "a", A + "/", A + "\n", A.upper(), A + ".json"])
def test_a_session_with_another_id_is_not_saved(home: Path, name: str) -> None:
    """No path is made of it."""
    with pytest.raises(UsageError):
        sessions.save(str(home), made(name))

    assert not home.exists()


def test_text_that_is_none_is_not_saved(home: Path) -> None:
    """Half a surrogate pair would not read back."""
    with pytest.raises(UsageError):
        sessions.save(str(home), made(A, turns=(Turn("user", "\ud800"),)))

    assert not path(home, A).exists()


def test_a_session_is_bounded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there stays."""
    saved(home, A)
    monkeypatch.setattr(sessions, "LIMIT", 1000)

    with pytest.raises(TooLargeError):
        sessions.save(str(home), made(A, turns=(Turn("user", "x" * 1000),)))
    path(home, B).write_bytes(b"x" * 1001)
    path(home, B).chmod(0o600)

    assert sessions.load(str(home), A) == made(A)
    with pytest.raises(TooLargeError):
        sessions.load(str(home), B)


def test_the_limit_is_16_mib() -> None:
    """As documented."""
    assert sessions.LIMIT == 16 * 1024 * 1024


# -- private -------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("umask", [0, 0o022, 0o277])
def test_what_is_made_is_for_our_eyes_only(home: Path, umask: int) -> None:
    """Whatever the umask."""
    os.umask(umask)

    saved(home, A)
    saved(home, A)

    assert mode_of(home) == 0o700
    assert mode_of(home / "sessions") == 0o700
    assert mode_of(path(home, A)) == 0o600


@posix
def test_folders_that_others_may_read_are_tightened_by_a_save(home: Path) -> None:
    """As for the stores."""
    (home / "sessions").mkdir(parents=True)
    (home / "sessions").chmod(0o755)

    saved(home, A)

    assert (mode_of(home), mode_of(home / "sessions")) == (0o700, 0o700)


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_may_read_is_refused(home: Path, mode: int) -> None:
    """To read, to replace and to remove; the list says so and hides no other."""
    saved(home, A, C)
    path(home, A).chmod(mode)

    for action in (sessions.load, sessions.remove):
        with pytest.raises(UnsafeFileError):
            action(str(home), A)
    with pytest.raises(UnsafeFileError):
        saved(home, A)
    listed = {item.id: item for item in sessions.listed(str(home))}
    assert listed[C].session == made(C)
    assert listed[A].session is None
    assert "others" in listed[A].problem
    assert path(home, A).exists()


@posix
def test_a_folder_that_others_may_write_is_refused(home: Path) -> None:
    """They could put a conversation of theirs there."""
    saved(home, A)
    (home / "sessions").chmod(0o777)

    for action in (sessions.listed, sessions.latest):
        with pytest.raises(UnsafeFileError):
            action(str(home))


# -- found by the start of the id ----------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "found"),
    [(A, A), ("20231114-221320-aaa", A), ("20231114-221320-aab", B), ("2024", C)],
)
def test_the_start_of_an_id_is_enough(home: Path, prefix: str, found: str) -> None:
    """When no other one starts so."""
    saved(home, A, B, C)

    assert sessions.load(str(home), prefix).id == found
    assert sessions.remove(str(home), prefix) == found
    assert {item.id for item in sessions.listed(str(home))} == {A, B, C} - {found}


def test_a_start_that_several_have_names_them(home: Path) -> None:
    """And removes none."""
    saved(home, A, B, C)

    for action in (sessions.load, sessions.remove):
        with pytest.raises(UsageError, match=f"several .* 2023: {A}, {B}$"):
            action(str(home), "2023")
    assert len(sessions.listed(str(home))) == 3


def test_not_too_many_are_named(home: Path) -> None:
    """Five, and that there are more."""
    saved(home, *(f"20231114-221320-aaaa{number:02}" for number in range(7)))

    with pytest.raises(UsageError, match=r"aaaa04, …$"):
        sessions.load(str(home), "2")


@pytest.mark.parametrize("prefix", ["9", "20231114-221320-aaaaaaa", "-" * 5000])
def test_a_start_that_none_has_is_an_error(home: Path, prefix: str) -> None:
    """Also where nothing was ever saved, and nothing is made then."""
    with pytest.raises(UsageError, match="no session begins with") as caught:
        sessions.load(str(home), prefix)
    assert len(str(caught.value)) < 100
    assert not home.exists()

    saved(home, A)
    with pytest.raises(UsageError):
        sessions.remove(str(home), prefix)


@pytest.mark.parametrize(
    "prefix",
    ["", ".", "../auth", "/etc", "a/b", "a\\b", "*", "A", "2\n", "\uff12", "\x1b", "\ud800"],
)
def test_what_is_no_start_of_an_id_is_refused(home: Path, prefix: str) -> None:
    """It is neither looked up nor repeated."""
    saved(home, A)
    (home / "auth.json").write_text("{}")

    for action in (sessions.load, sessions.remove):
        with pytest.raises(UsageError, match=r"consists of digits, a to f and -$"):
            action(str(home), prefix)
    assert path(home, A).exists()


def test_a_session_is_removed_once(home: Path) -> None:
    """The second time there is none."""
    saved(home, A)

    assert sessions.remove(str(home), A) == A

    with pytest.raises(UsageError, match="no session"):
        sessions.remove(str(home), A)
    assert sessions.listed(str(home)) == []


# -- the list ------------------------------------------------------------------------------


def test_without_a_home_there_are_none(home: Path) -> None:
    """To look makes nothing."""
    assert sessions.listed(str(home)) == []
    assert sessions.latest(str(home)) is None
    assert not home.exists()


def test_the_list_begins_with_what_changed_last(home: Path) -> None:
    """When it began does not matter."""
    for name, at in ((A, NOON + 2), (B, NOON + 3), (C, NOON + 1)):
        sessions.save(str(home), made(name, at=at))

    assert [item.id for item in sessions.listed(str(home))] == [B, A, C]
    assert sessions.latest(str(home)) == made(B, at=NOON + 3)


def test_other_files_are_left_alone(home: Path) -> None:
    """Notes, backups and what a killed process left."""
    saved(home, A)
    for name in ("notes.txt", f"{A}.json~", f".{A}.json.tmp", "x.json", "\u0661.json"):
        (home / "sessions" / name).write_text("{}")

    assert sessions.listed(str(home)) == [Listed(A, made(A))]


DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "cut": b'{"version": 1, "id": "2',
    "no object": b"[]",
    "twice": b'{"version": 1, "version": 1}',
    "no UTF-8": b"\xff\xfe",
    "no members": b"{}",
}
WRONG: dict[str, object] = {
    "version": 0,
    "id": B,
    "created_at": -1,
    "updated_at": 10**30,
    "provider": None,
    "model": 7,
    "title": [],
    "messages": {},
}
DAMAGED |= {
    f"wrong {name}": json.dumps(
        {**made(A)._asdict(), "messages": [], "version": 1, name: value}
    ).encode()
    for name, value in WRONG.items()
}
DAMAGED |= {
    f"message {number}": json.dumps(
        {**made(A)._asdict(), "messages": [turn], "version": 1}
    ).encode()
    for number, turn in enumerate([None, {}, {"role": "tool", "content": ""}, {"role": "user"}])
}


@pytest.mark.parametrize("raw", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_said_to_be_one(home: Path, raw: bytes) -> None:
    """It hides no other one, is not loaded, and can be removed and written over."""
    saved(home, A, C)
    path(home, A).write_bytes(raw)

    with pytest.raises(DamagedError) as caught:
        sessions.load(str(home), A)
    assert str(caught.value).startswith(str(path(home, A)))
    assert caught.value.hint.endswith(f"codemesh sessions remove {A}")
    problems = {item.id: item.problem for item in sessions.listed(str(home))}
    assert problems == {A: caught.value.message, C: ""}
    assert sessions.remove(str(home), A) == A
    assert [item.id for item in sessions.listed(str(home))] == [C]


def test_a_session_of_a_newer_codemesh_is_not_read(home: Path) -> None:
    """Nor is it called damaged for good."""
    saved(home, A)
    path(home, A).write_text('{"version": 2}')

    with pytest.raises(NewerVersionError):
        sessions.load(str(home), A)


def test_a_title_in_a_file_is_cleaned(home: Path) -> None:
    """The file may be from elsewhere."""
    saved(home, A)
    document = json.loads(path(home, A).read_bytes()) | {"title": "\x1b[2J" + "x" * 99}
    path(home, A).write_text(json.dumps(document))

    assert sessions.load(str(home), A).title == "[2J" + "x" * 57


def test_to_go_on_is_no_surprise(home: Path) -> None:
    """A damaged one that began last is an error; an old one is passed by."""
    saved(home, A, C)
    path(home, A).write_bytes(b"")
    sessions.save(str(home), made(C, at=NOON + 1))
    assert sessions.latest(str(home)) == made(C, at=NOON + 1)

    path(home, C).write_bytes(b"")
    with pytest.raises(DamagedError):
        sessions.latest(str(home))


def test_a_session_that_goes_meanwhile_is_not_listed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may remove it between the look at the folder and at the file."""
    saved(home, A)
    monkeypatch.setattr(sessions, "_ids", lambda _home: [A, B])

    assert [item.id for item in sessions.listed(str(home))] == [A]
    with pytest.raises(UsageError, match="is gone"):
        sessions.load(str(home), B)


def test_a_folder_that_cannot_be_listed_is_an_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for an empty one."""
    saved(home, A)

    def refused(_path: str) -> list[str]:
        raise PermissionError(13, "no")

    monkeypatch.setattr(os, "listdir", refused)

    with pytest.raises(StorageError, match="cannot be listed"):
        sessions.listed(str(home))


# -- at the same time ----------------------------------------------------------------------


def test_saves_at_the_same_time_leave_whole_files(home: Path) -> None:
    """Of one session and of others, with readers beside them; nothing is left over."""
    names = [f"20231114-221320-{number:06x}" for number in range(4)]
    saved(home, A)
    failures: list[CodemeshError] = []

    def work(number: int) -> None:
        try:
            for step in range(5):
                text = f"{number}-{step} " * 1000
                sessions.save(str(home), made(A, turns=(Turn("user", text),)))
                saved(home, names[number])
                (turn,) = sessions.load(str(home), A).messages[:1]
                assert len(set(turn.content.split())) == 1 or turn == ASKED[0]
        except CodemeshError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert {item.id for item in sessions.listed(str(home)) if item.session} == {A, *names}
    assert sorted(os.listdir(home / "sessions")) == sorted(f"{n}.json" for n in (A, *names))


WRITER = """
import sys
from codemesh import sessions
from codemesh.sessions import Session, Turn
home, name, word = sys.argv[1:]
for step in range(20):
    turns = (Turn("user", word * 20000), Turn("assistant", str(step)))
    sessions.save(home, Session(name, 1, step, "p", "m", turns, word))
"""


def test_processes_that_save_at_the_same_time_leave_whole_files(home: Path) -> None:
    """Each read meanwhile is of one of them."""
    saved(home, A)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(home), A, word]) for word in "xyz"
    ]

    while any(writer.poll() is None for writer in writers):
        session = sessions.load(str(home), A)
        assert session == made(A) or session.messages[0].content == session.title * 20000

    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert os.listdir(home / "sessions") == [f"{A}.json"]
