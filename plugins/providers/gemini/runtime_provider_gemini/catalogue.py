"""The models there are, and what each of them can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from runtime_core.errors import UpstreamProtocolError
from runtime_core.types import ModelInfo

__all__ = ("MAX_PAGES", "ListedModel", "ModelPage", "describe", "next_token")

#: A list of more pages than this is taken for one without an end.
MAX_PAGES: Final = 100

#: Chat models by their methods whose answers are sounds and images, by parts of names.
_OTHER_USES: Final = ("-image", "-tts")

if TYPE_CHECKING:
    from collections.abc import Container


class ListedModel(Struct, rename="camel"):
    """One entry of the list."""

    name: str
    display_name: str | None = None
    input_token_limit: int | None = None
    output_token_limit: int | None = None
    supported_generation_methods: list[str] = field(default_factory=list)
    thinking: bool | None = None


class ModelPage(Struct, rename="camel"):
    """One page of the list; an empty list is an empty object."""

    models: list[ListedModel] = field(default_factory=list)
    next_page_token: str | None = None
    error: Any = None


def describe(model: ListedModel) -> ModelInfo:
    """Return what is known of a listed model."""
    name = model.name.removeprefix("models/")
    methods = model.supported_generation_methods
    chats = "generateContent" in methods and not any(use in name for use in _OTHER_USES)
    return ModelInfo(
        name,
        model.input_token_limit or None,
        can_chat=chats,
        can_embed="embedContent" in methods,
        can_prompt=chats,
        can_stream=chats,
        details={
            "display_name": model.display_name or "",
            "output_token_limit": model.output_token_limit,
            "thinking": bool(model.thinking),
        },
    )


def next_token(name: str, page: ModelPage, seen: Container[str]) -> str | None:
    """Return the token of the page after *page*, None after the last.

    :param seen: the tokens so far.
    :raises UpstreamProtocolError: the token was given before.
    """
    token = page.next_page_token
    if token and token in seen:
        raise UpstreamProtocolError(f"{name} lists its models in a circle")
    return token or None
