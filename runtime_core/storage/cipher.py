"""Secrets at rest: encrypted where the operator set a secret, marked either way."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from runtime_core.errors import RuntimeCoreError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet
    from pydantic import SecretStr

__all__ = ("Cipher",)

# What stands before a stored text says how it was stored, so that a later way can be told apart.
_PLAIN = "plain:"
_FERNET = "fernet1:"

# All replicas must derive the same key from a secret, so the salt is fixed; scrypt makes guessing
# a weak secret dear: 16 MiB and about 50 ms a guess.
_SALT = b"runtime-core secrets at rest, 1"
_COST = 2**14

_DECODER = msgspec.json.Decoder(tuple[tuple[str, ...], str])


class Cipher:
    """Seals texts before they are stored, and opens them.

    The first of *secrets* seals, all of them open: put a new one first to replace an old one.
    Without any, texts are stored in clear.
    """

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        self._secrets = secrets

    @classmethod
    def of(cls, setting: SecretStr | None) -> Cipher:
        """Return the cipher of ``RUNTIME_SECRET_KEY``: secrets, separated by commas."""
        text = setting.get_secret_value() if setting else ""
        return cls(tuple(part for part in text.split(",") if part))

    def __repr__(self) -> str:
        return f"Cipher({len(self._secrets)} secrets)"

    def seal(self, text: str, *place: str) -> str:
        """Return *text* as it may be stored.

        :param place: where it will be; it cannot be opened anywhere else.
        """
        if not self._secrets:
            return _PLAIN + text
        return _FERNET + self._fernet.encrypt(msgspec.json.encode((place, text))).decode()

    def open(self, stored: str, *place: str) -> str:
        """Return what was sealed at *place*.

        :raises RuntimeCoreError: no secret that is set fits; says what to do.
        """
        if stored.startswith(_PLAIN):
            return stored.removeprefix(_PLAIN)
        if not stored.startswith(_FERNET):
            raise RuntimeCoreError("it was stored in a way that this release does not know")
        if not self._secrets:
            raise RuntimeCoreError(
                "it is stored encrypted: set RUNTIME_SECRET_KEY to the secret it was stored with"
            )
        return self._open(stored.removeprefix(_FERNET), place)

    def _open(self, token: str, place: tuple[str, ...]) -> str:
        from cryptography.fernet import InvalidToken

        try:
            sealed_at, text = _DECODER.decode(self._fernet.decrypt(token.encode()))
        except InvalidToken:
            sealed_at, text = None, ""
        if sealed_at != place:
            # without the cause: it has nothing to say
            raise RuntimeCoreError(
                "it was stored with another secret, or tampered with: add the secret it was "
                "stored with to RUNTIME_SECRET_KEY, after a comma"
            )
        return text

    @cached_property
    def _fernet(self) -> MultiFernet:
        # here and not above: most servers do without its time and memory
        from base64 import urlsafe_b64encode

        from cryptography.fernet import Fernet, MultiFernet

        keys = [
            hashlib.scrypt(secret.encode(), salt=_SALT, n=_COST, r=8, p=1, dklen=32)
            for secret in self._secrets
        ]
        return MultiFernet([Fernet(urlsafe_b64encode(key)) for key in keys])
