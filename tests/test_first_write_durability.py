"""A disk that does not confirm the first choice of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codemesh import ApiKey, config, open_store
from codemesh.errors import NotDurableError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_choice_that_is_not_confirmed_is_not_told_as_a_saved_credential(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The credential was not written, so its owner is told to run the command again."""

    def unconfirmed(*_: object) -> None:
        raise NotDurableError("saved, but durability is not confirmed")

    monkeypatch.setattr(config, "set_value", unconfirmed)

    with pytest.raises(NotDurableError) as caught:
        open_store(str(home)).put("openai", ApiKey.new("sk-1"))

    assert caught.value.hint == "Only the choice of a store is saved. Run the command again."
    assert open_store(str(home)).names() == []
