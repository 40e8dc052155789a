"""The rooms, beyond what the import contracts of pyproject.toml can say."""

from __future__ import annotations

import grimp
import pytest

from codemesh.backends import registry

MODULES = {entry.path.partition(":")[0] for entry in registry.TABLE}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_backend_imports_another(module: str) -> None:
    """A backend reaches no other one of the table, by itself or through what it imports."""
    graph = grimp.build_graph("codemesh")

    reached = graph.find_upstream_modules(module)

    assert not reached & (MODULES - {module})
