"""Names and the kinds of credential: what is taken, what is refused, what is kept."""

from __future__ import annotations

import pytest

from codemesh import ApiKey, Credential, Custom, OAuth, Secret, model, parse_record
from codemesh.errors import FieldNotFoundError, NotUnderstoodError, UsageError
from support import CANARY, shown

# -- names -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x", "x" * 255, "\x00", "../..", "\U0001f511" * 255, " "])
def test_entry_name_that_any_store_keeps(name: str) -> None:
    """Any text of 1 to 255 characters is a name that a store can keep."""
    assert model.check_entry_name(name) == name


@pytest.mark.parametrize("name", ["", "x" * 256, "\ud800", "a\udfffb"])
def test_entry_name_that_no_store_keeps(name: str) -> None:
    """An empty name, one of 256 characters and half a surrogate pair are refused."""
    with pytest.raises(UsageError):
        model.check_entry_name(name)


@pytest.mark.parametrize(
    ("provider", "account", "name"),
    [
        ("openai", None, "openai"),
        ("openai", "work", "openai/work"),
        ("0", "1", "0/1"),
        ("a.b_c-d", "x" * 64, "a.b_c-d/" + "x" * 64),
    ],
)
def test_new_name(provider: str, account: str | None, name: str) -> None:
    """A new entry is called PROVIDER, or PROVIDER/ACCOUNT."""
    assert model.new_name(provider, account) == name
    assert model.split_name(name) == (provider, account)


@pytest.mark.parametrize(
    "part",
    ["", "x" * 65, "OpenAI", ".a", "-a", "_a", "a b", "a/b", "\u00e4", "a\n", "a\x00", "\u0661"],
)
def test_what_is_no_new_name(part: str) -> None:
    """What is no plain lower-case word is refused as provider and as account."""
    with pytest.raises(UsageError):
        model.new_name(part)
    with pytest.raises(UsageError):
        model.new_name("openai", part)


@pytest.mark.parametrize(
    ("name", "parts"),
    [("a/b/c", ("a", "b/c")), ("a/", ("a", "")), ("/", ("", "")), ("", ("", None))],
)
def test_split_of_odd_names(name: str, parts: tuple[str, str | None]) -> None:
    """Only the first slash splits a name."""
    assert model.split_name(name) == parts


@pytest.mark.parametrize("text", ["", "a\nb", "\r", "\x00", "a\x1b[1m", "\x7f", "\x9b", "\u2028"])
def test_what_nobody_types(text: str) -> None:
    """What a person types is not empty and holds no control character."""
    with pytest.raises(UsageError, match="the key"):
        model.check_typed(text, "the key")


@pytest.mark.parametrize("text", ["sk-1", " a b ", "p\u00e4ss", "\U0001f511", "%s{}\\"])
def test_what_somebody_types(text: str) -> None:
    """Any other text can be typed, and is taken as it is."""
    assert model.check_typed(text, "the key") == text


# -- kinds -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "kind", "secret"),
    [
        ({"type": "api_key", "key": "k"}, ApiKey, "k"),
        ({"type": "apikey", "key": "k"}, ApiKey, "k"),
        ({"type": "oauth", "access_token": "t"}, OAuth, "t"),
        ({"type": "oauth", "access_token": "t", "refresh_token": None}, OAuth, "t"),
        ({"type": "custom", "data": {"secret": "s", "token": "t"}}, Custom, "t"),
        ({"type": "custom", "data": {"x": 1, "key": "k", "api_key": "a"}}, Custom, "a"),
        ({"type": "custom", "data": {"key": {"a": [1]}}}, Custom, '{"a": [1]}'),
    ],
)
def test_kinds(record: dict[str, object], kind: type[Credential], secret: str) -> None:
    """Each type has its view, which gives the secret that a program needs."""
    credential = parse_record(record)

    assert type(credential) is kind
    assert credential.secret().reveal() == secret
    assert credential.to_record() == record


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"type": None},
        {"type": 1},
        {"type": ["api_key"]},
        {"type": {"a": 1}},
        {"type": "API_KEY", "key": "k"},
        {"type": "unheard-of"},
        {"type": "api_key"},
        {"type": "api_key", "key": None},
        {"type": "api_key", "key": 1},
        {"type": "oauth"},
        {"type": "oauth", "access_token": 1},
        {"type": "oauth", "access_token": "t", "refresh_token": 1},
        {"type": "custom"},
        {"type": "custom", "data": [1]},
        {"type": "api_key", "key": "k", "expires_at": "tomorrow"},
        {"type": "api_key", "key": "k", "expires_at": True},
        {"type": "api_key", "key": "k", "expires_at": 2**64},
        {"type": "api_key", "key": "k", "expires_at": -1e300},
        {"type": "api_key", "key": "k", "expires_at": float("nan")},
    ],
)
def test_what_is_not_understood(record: dict[str, object]) -> None:
    """A record of an unknown type, or with a field missing or wrong, is not understood."""
    record = {**record, "other": CANARY}

    with pytest.raises(NotUnderstoodError) as caught:
        parse_record(record)

    assert caught.value.exit_code == 6
    assert CANARY not in shown(caught.value)


def test_unknown_fields_are_carried_along() -> None:
    """Fields that a kind does not know, and explicit nulls, come back as they were."""
    record: dict[str, object] = {
        "x": [1.0],
        "type": "apikey",
        "key": "k",
        "label": None,
        "scope": {},
    }

    assert list(parse_record(record).to_record().items()) == list(record.items())


@pytest.mark.parametrize(
    ("moment", "expected"),
    [(None, None), (0, 0), (1700000000, 1700000000), (1.9, 1), (-5, -5), (2**63, 2**63)],
)
def test_expiry(moment: object, expected: int | None) -> None:
    """A moment is a number of seconds, or there is none."""
    credential = ApiKey({"type": "api_key", "key": "k", "expires_at": moment})

    assert credential.expires_at == expected


def test_expired_at_the_very_second() -> None:
    """A credential has expired from the second that it names on."""
    credential = ApiKey.new("k", expires_at=100)

    assert not credential.expired(99.9)
    assert credential.expired(100)
    assert not ApiKey.new("k").expired(2.0**80)


def test_new_leaves_out_what_is_none() -> None:
    """A new credential has the fields that were given, and no others."""
    assert ApiKey.new("k").to_record() == {"type": "api_key", "key": "k"}
    assert Custom.new({"a": 1}, label="l", created_at=0).to_record() == {
        "type": "custom",
        "data": {"a": 1},
        "label": "l",
        "created_at": 0,
    }


@pytest.mark.parametrize(
    ("created", "label"), [("x", 1), (True, None), (1.5, []), (None, {}), ([], False)]
)
def test_odd_label_and_creation(created: object, label: object) -> None:
    """A label that is no text and a creation that is no moment are as good as none."""
    record = {"type": "api_key", "key": "k", "created_at": created, "label": label}

    credential = parse_record(record)

    assert (credential.created_at, credential.label) == (None, None)
    assert credential.to_record() == record


def test_credential_is_a_copy() -> None:
    """Neither the record that it was made of nor the one it gives is the credential itself."""
    record: dict[str, object] = {"type": "api_key", "key": "k"}
    credential = ApiKey(record)

    record["key"] = "other"
    credential.to_record()["key"] = "other"

    assert credential.secret().reveal() == "k"


def test_equality() -> None:
    """Credentials are equal if their kind and their records are."""
    assert ApiKey.new("k") == ApiKey.new("k")
    assert ApiKey.new("k") != ApiKey.new("other")
    assert ApiKey.new("k") != ApiKey({"type": "apikey", "key": "k"})
    assert ApiKey.new("k") != "k"
    with pytest.raises(TypeError):
        hash(ApiKey.new("k"))


# -- fields ------------------------------------------------------------------------------


def test_custom_without_a_usual_field() -> None:
    """A custom credential without a usual secret wants its field named, and lists them."""
    credential = Custom.new({"user": "u", "password": CANARY})

    with pytest.raises(UsageError) as caught:
        credential.secret()

    assert "password, user" in caught.value.hint
    assert credential.secret("password").reveal() == CANARY
    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize(
    "credential",
    [
        ApiKey.new(CANARY),
        OAuth({"type": "oauth", "access_token": CANARY}),
        Custom.new({"key": CANARY}),
    ],
)
def test_missing_field(credential: Credential) -> None:
    """A field that is not there is told with the names of those that are."""
    with pytest.raises(FieldNotFoundError, match="missing") as caught:
        credential.secret("missing")

    assert caught.value.exit_code == 3
    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize(
    "credential",
    [
        ApiKey({"type": "api_key", "key": CANARY, "id_token": CANARY, "label": "mine"}),
        OAuth({"type": "oauth", "access_token": CANARY, "x": {"y": CANARY}, "label": "mine"}),
        Custom.new({"anything": CANARY, "more": [CANARY]}, label="mine"),
    ],
)
def test_fields_are_hidden(credential: Credential) -> None:
    """What may be secret is a Secret among the fields, and never in a repr."""
    fields = credential.fields()

    assert fields["label"] == "mine"
    assert CANARY not in repr(fields)
    assert CANARY not in repr(credential) + str(credential) + f"{credential}"
    hidden = [value for value in fields.values() if isinstance(value, Secret)]
    assert all(CANARY in value.reveal() for value in hidden)
    assert len(hidden) == 2


def test_fields_of_an_unknown_kind_are_hidden() -> None:
    """Of a record of unknown kind only the type is shown."""
    fields = model.hidden_fields({"type": "x", "label": CANARY, "n": 1})

    assert fields["type"] == "x"
    assert isinstance(fields["label"], Secret)
    assert CANARY not in repr(fields)
