"""A text that hides itself; the type of everything that must not be printed by accident."""

from __future__ import annotations

from typing import ClassVar, NoReturn


class Secret:
    """A text that does not show itself.

    Printing, formatting, logging and `repr` give a mask, comparing takes constant
    time, and pickling is refused. `reveal()` is the one way to the text.
    """

    __slots__ = ("_text",)

    MASK: ClassVar[str] = "********"

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret text itself."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({self.MASK!r})"

    def __str__(self) -> str:
        return self.MASK

    def __format__(self, spec: str) -> str:
        return format(self.MASK, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        from hmac import compare_digest  # not worth loading for those who only read

        return compare_digest(
            self._text.encode("utf-8", "surrogatepass"),
            other._text.encode("utf-8", "surrogatepass"),
        )

    __hash__ = None  # type: ignore[assignment]  # a hash would tell equal secrets apart from others

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled; reveal() it where it is needed")
