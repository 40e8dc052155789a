"""Chat completions as OpenAI has them, streamed, and as many others offer them too.

Those are Azure, Gemini, GitHub Copilot and local servers. Source:
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from codemesh.providers.chat import Delta, counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from codemesh.providers.chat import Message, Target

HEADERS: tuple[tuple[str, str], ...] = ()
"""What every request has, unless the target says otherwise."""

# Newer models of these refuse max_tokens; many others know no other name.
_RENAMED = (
    ".api.openai.com",
    ".openai.azure.com",
    ".services.ai.azure.com",
    ".cognitiveservices.azure.com",
)


def body(target: Target, messages: Sequence[Message], max_tokens: int) -> dict[str, object]:
    """The request. Counts of tokens are asked for; a stream has none by itself."""
    host = f".{urlsplit(target.base_url).hostname}"
    return {
        "model": target.model,
        "max_completion_tokens" if host.endswith(_RENAMED) else "max_tokens": max_tokens,
        "messages": [message._asdict() for message in messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def deltas(documents: Iterable[dict[str, object] | None]) -> Iterator[Delta]:
    """The answer up to `[DONE]`. A refusal that the model words is its answer."""
    for document in documents:
        if document is None:
            return
        choice = _choice(document)
        delta = choice.get("delta")
        text = ""
        if isinstance(delta, dict):
            told = delta.get("content") or delta.get("refusal")
            text = told if isinstance(told, str) else ""
        stop = choice.get("finish_reason")
        stop = stop if isinstance(stop, str) and stop else None
        usage = counts(document.get("usage"))
        if text or usage or stop:
            yield Delta(text, usage, stop)


def _choice(document: dict[str, object]) -> dict[str, object]:
    """The one choice; Azure's first event and the last one, with the counts, have none."""
    choices = document.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}
