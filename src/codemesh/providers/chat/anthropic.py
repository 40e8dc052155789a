"""The Messages API of Anthropic, streamed (https://docs.anthropic.com/en/api/messages-streaming)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codemesh.providers.chat import Delta, counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from codemesh.providers.chat import Message, Target

HEADERS: tuple[tuple[str, str], ...] = (("anthropic-version", "2023-06-01"),)
"""What every request has, unless the target says otherwise."""


def body(target: Target, messages: Sequence[Message], max_tokens: int) -> dict[str, object]:
    """The request. What the system says goes beside the conversation, not into it."""
    system = [message.content for message in messages if message.role == "system"]
    request: dict[str, object] = {
        "model": target.model,
        "max_tokens": max_tokens,
        "messages": [message._asdict() for message in messages if message.role != "system"],
        "stream": True,
    }
    return request | ({"system": "\n\n".join(system)} if system else {})


def deltas(documents: Iterable[dict[str, object] | None]) -> Iterator[Delta]:
    """The answer up to `message_stop`. Events of other kinds are passed over, as asked for."""
    usage: dict[str, int] = {}
    for document in documents:
        kind = document.get("type") if document else None
        if document is None or kind is None:
            continue
        if kind == "message_stop":
            return
        part = _part(document, "delta")
        if kind == "message_start":
            usage |= counts(_part(document, "message").get("usage")) or {}
        elif kind == "message_delta":
            usage |= counts(document.get("usage")) or {}
            stop = part.get("stop_reason")
            yield Delta("", dict(usage) or None, stop if isinstance(stop, str) else None)
        elif text := _text(_part(document, "content_block") or part):
            yield Delta(text, None, None)


def _part(document: dict[str, object], name: str) -> dict[str, object]:
    part = document.get(name)
    return part if isinstance(part, dict) else {}


def _text(part: dict[str, object]) -> str:
    """The text of a block or of a delta; thoughts and tools are of another type."""
    text = part.get("text") if part.get("type") in {"text", "text_delta"} else None
    return text if isinstance(text, str) else ""
