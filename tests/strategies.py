"""Records of every kind, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, -0.0, 1.0, 1, True, 5e-324, 1e16, 1e22, 2**53 + 1])
    | text,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5),
    max_leaves=20,
)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255)
stores = st.dictionaries(names, st.dictionaries(text, json_values, max_size=6), max_size=6)
