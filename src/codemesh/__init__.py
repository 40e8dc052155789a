"""Keep the credentials of AI providers in one store of your choice.

    import codemesh

    store = codemesh.open_store()
    store.put("openai", codemesh.ApiKey.new("sk-…"))
    print(store.token("openai").reveal())

Names are loaded when they are first used, so that importing the package costs nothing.
"""

# Not even `from __future__ import annotations`, which is an import like any other: this
# runs before `__main__` has taken the current directory off the path.

TYPE_CHECKING = False
if TYPE_CHECKING:
    from codemesh.errors import CodemeshError as CodemeshError
    from codemesh.model import ApiKey as ApiKey
    from codemesh.model import Credential as Credential
    from codemesh.model import Custom as Custom
    from codemesh.model import OAuth as OAuth
    from codemesh.model import parse_record as parse_record
    from codemesh.secret import Secret as Secret
    from codemesh.store import Store as Store
    from codemesh.store import open_store as open_store

__version__ = "0.1.0"

_HOMES = {
    "ApiKey": "codemesh.model",
    "CodemeshError": "codemesh.errors",
    "Credential": "codemesh.model",
    "Custom": "codemesh.model",
    "OAuth": "codemesh.model",
    "Secret": "codemesh.secret",
    "Store": "codemesh.store",
    "open_store": "codemesh.store",
    "parse_record": "codemesh.model",
}
__all__ = ["__version__", *_HOMES]  # noqa: PLE0604  the names are the table's

if not TYPE_CHECKING:  # a type checker that saw it would take any name for a public one

    def __getattr__(name: str) -> object:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module 'codemesh' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(home), name)
