"""`same`: when two JSON values are equal to the last field and type."""

from __future__ import annotations

import itertools
import json

import pytest

from codemesh.backends.base import same

DIFFERENT: list[object] = [
    None,
    True,
    1,
    1.0,
    "1",
    False,
    0,
    0.0,
    -0.0,
    "",
    [],
    {},
    [1],
    [1.0],
    [True],
    [1, None],
    [None, 1],
    [[]],
    {"a": 1},
    {"a": 1.0},
    {"a": None},
    {"a": 1, "b": None},
    {"b": 1},
    {"a": {"a": [-0.0]}},
    {"a": {"a": [0.0]}},
    "caf\u00e9",
    "cafe\u0301",
    2**64,
    float(2**64),
]


@pytest.mark.parametrize("value", DIFFERENT, ids=repr)
def test_value_is_the_same_as_its_copy(value: object) -> None:
    """Every value is the same as what JSON makes of it."""
    assert same(value, json.loads(json.dumps(value)))


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(DIFFERENT, 2)))
def test_values_of_other_kinds_differ(one: object, other: object) -> None:
    """Values that JSON writes in another way differ, however Python compares them."""
    assert not same(one, other)
    assert not same({"x": [one]}, {"x": [other]})


def test_keys_have_no_order() -> None:
    """Two objects with the same members in another order are the same; two lists are not."""
    assert same({"a": 1, "b": [{}]}, {"b": [{}], "a": 1})
    assert not same([1, 2], [2, 1])
