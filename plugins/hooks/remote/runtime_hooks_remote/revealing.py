"""Secrets, put into what a hook sends at the moment it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from runtime_hooks_remote.masks import REFERENCE, Mask, is_sensitive
from runtime_hooks_remote.texts import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime_core.protocols import SecretStore
    from runtime_hooks_remote.hook import Draft
    from runtime_hooks_remote.injection import Injection

__all__ = ("Revealed", "Revealer")

_KEPT = 4096


class Revealed(NamedTuple):
    """What is sent, and what hides it in what comes back."""

    injection: Injection
    mask: Mask


class Revealer:
    """Puts secrets in place; what they hide is worked out again only when one has changed."""

    def __init__(self, secrets: SecretStore) -> None:
        self._secrets = secrets
        self._known: dict[tuple[str, str], tuple[Injection, Revealed]] = {}

    async def reveal(self, tenant_id: str, hook: Draft) -> Revealed:
        """Return what a hook sends now.

        :raises TaskFailed: there is no secret of a name.
        """
        given = hook.injection
        sent = given
        if any("{{" in text for text in given.texts):
            sent = await self._sent(tenant_id, given)
        known = self._known.get((tenant_id, hook.id))
        if known is not None and known[0] == given and known[1].injection == sent:
            return known[1]
        found = Revealed(sent, await self._mask(tenant_id, given, sent))
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[tenant_id, hook.id] = given, found
        return found

    async def _sent(self, tenant_id: str, given: Injection) -> Injection:
        reveal = self._secrets.reveal
        headers = {name: await reveal(tenant_id, text) for name, text in given.headers.items()}
        value: Any = given.value
        if isinstance(value, str):
            value = await reveal(tenant_id, value)
        return replace(given, headers=headers, value=value)

    async def _mask(self, tenant_id: str, given: Injection, sent: Injection) -> Mask:
        secrets: list[str] = []
        others: list[str] = []
        for (name, template), text in zip(_named(given), sent.texts, strict=True):
            (secrets if is_sensitive(name, template) else others).append(text)
            for reference in REFERENCE.findall(template):
                secrets.append(await self._secrets.reveal(tenant_id, reference))
        return Mask(secrets, others)


def _named(injection: Injection) -> Iterator[tuple[str, str]]:
    yield from injection.headers.items()
    if injection.name:
        yield injection.name, plain(injection.value)
