"""Which IP addresses may be reached, and why others may not.

======================  ==========================================================================
public                  what the internet routes; always allowed
private                 loopback, private and shared networks, unique-local, multicast, reserved
                        and everything else that is not public; allowed where a policy says so
refused                 link-local, and what answers with a machine's own credentials: never
======================  ==========================================================================

An IPv6 address that stands for an IPv4 address (mapped, translated, compatible, NAT64, 6to4,
Teredo, ISATAP) is what that address is, or worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, NamedTuple

from runtime_core.errors import AddressRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Policy", "Reach", "Verdict", "judge")


class Reach(IntEnum):
    """How far away an address is from what should not be reached."""

    PUBLIC = 0
    PRIVATE = 1
    REFUSED = 2


class Verdict(NamedTuple):
    """What an address is, in a word for the program and in words for people."""

    reach: Reach
    words: str


@dataclass(frozen=True, slots=True)
class Policy:
    """Who chose the addresses, and whether private ones are theirs to choose.

    :param chosen_by: completes "an address chosen by …".
    :param private: whether private addresses are allowed.
    :param setting: the environment variable that decides so.
    """

    chosen_by: str
    private: bool
    setting: str

    def check(self, address: IPv4Address | IPv6Address, host: str) -> None:
        """Raise `AddressRefused` when *address*, which *host* stands for, is out of bounds."""
        reach, words = judge(address)
        if reach is Reach.PUBLIC or (reach is Reach.PRIVATE and self.private):
            return
        what = host if host == str(address) else f"{host} is {address}, which"
        if reach is Reach.REFUSED:
            raise AddressRefused(f"{what} is {words}: no setting allows that.")
        raise AddressRefused(
            f"{what} is {words}, which an address chosen by {self.chosen_by} may not be;"
            f" {self.setting}=1 allows it."
        )


def judge(address: IPv4Address | IPv6Address) -> Verdict:
    """Say what *address* is, looking through IPv6 addresses that carry an IPv4 address."""
    number = int(address)
    if isinstance(address, IPv4Address):
        return _judge_v4(number)
    own = _judge_v6(number)
    for carried in _carried(number):
        verdict = _judge_v4(carried)
        if verdict.reach > own.reach:
            own = Verdict(verdict.reach, f"{verdict.words} ({IPv4Address(carried)} within IPv6)")
    return own


_METADATA = "where machines are given their credentials"
_PUBLIC = Verdict(Reach.PUBLIC, "public")


class _Range(NamedTuple):
    mask: int
    network: int
    verdict: Verdict


def _ranges(version: type[IPv4Network | IPv6Network], *rows: tuple[str, str]) -> tuple[_Range, ...]:
    """Prepare *rows* of networks and words; "!" before the words refuses the network for good."""
    found = []
    for network, words in rows:
        parsed = version(network)
        reach = Reach.REFUSED if words.startswith("!") else Reach.PRIVATE
        verdict = Verdict(reach, words.removeprefix("!"))
        found.append(_Range(int(parsed.netmask), int(parsed.network_address), verdict))
    return tuple(found)


#: IANA's special-purpose registry; the first that matches counts.
_V4 = _ranges(
    IPv4Network,
    ("169.254.0.0/16", f"!link-local, {_METADATA}"),
    ("100.100.100.200/32", f"!{_METADATA}"),
    ("168.63.129.16/32", f"!{_METADATA}"),
    ("192.0.0.192/32", f"!{_METADATA}"),
    ("127.0.0.0/8", "loopback"),
    ("10.0.0.0/8", "private"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("100.64.0.0/10", "a shared address of a carrier"),
    ("0.0.0.0/8", "unspecified"),
    ("224.0.0.0/4", "multicast"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "reserved"),
    ("192.88.99.0/24", "reserved"),
    ("198.18.0.0/15", "reserved"),
    ("198.51.100.0/24", "reserved"),
    ("203.0.113.0/24", "reserved"),
    ("240.0.0.0/4", "reserved"),
)
_V6 = _ranges(
    IPv6Network,
    ("fe80::/10", f"!link-local, {_METADATA}"),
    ("fd00:ec2::/32", f"!{_METADATA}"),
    ("fd20:ce::254/128", f"!{_METADATA}"),
    ("fd00:42::42/128", f"!{_METADATA}"),
    ("fd00:c1::a9fe:a9fe/128", f"!{_METADATA}"),
    ("::1/128", "loopback"),
    ("::/128", "unspecified"),
    ("fc00::/7", "unique-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
    ("2001::/23", "reserved"),
    ("2001:db8::/32", "reserved"),
    ("2002::/16", "reserved"),
    ("3fff::/20", "reserved"),
)

#: Prefixes (the upper 96 bits) of addresses that are nothing but an IPv4 address.
_MAPPED = 0xFFFF
_NAT64 = 0x0064_FF9B << 64
_TRANSLATED = 0xFFFF_0000
_TEREDO = 0x2001_0000
_SIX_TO_FOUR = 0x2002
_LOCAL_NAT64 = 0x0064_FF9B_0001
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)
_LOW = 0xFFFF_FFFF


def _judge_v4(number: int) -> Verdict:
    return next((row.verdict for row in _V4 if number & row.mask == row.network), _PUBLIC)


def _judge_v6(number: int) -> Verdict:
    if number >> 32 in (_MAPPED, _NAT64):
        return _PUBLIC  # as far as the IPv4 address is
    for row in _V6:
        if number & row.mask == row.network:
            return row.verdict
    # the internet routes 2000::/3 only
    return _PUBLIC if number >> 125 == 1 else Verdict(Reach.PRIVATE, "reserved")


def _carried(number: int) -> Iterator[int]:
    """Yield every IPv4 address that *number*, an IPv6 address, may stand for."""
    low = number & _LOW
    prefix = number >> 32
    if prefix in (0, _MAPPED, _NAT64, _TRANSLATED) or prefix & _LOW in _ISATAP:
        yield low
    if number >> 80 == _LOCAL_NAT64:
        yield low
        # RFC 6052: 16 bits, an empty octet, 16 bits
        yield (number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF
    if number >> 112 == _SIX_TO_FOUR:
        yield number >> 80 & _LOW
    if number >> 96 == _TEREDO:
        yield number >> 64 & _LOW
        yield low ^ _LOW
