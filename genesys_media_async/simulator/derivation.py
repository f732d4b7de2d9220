"""
What is derived from the seed instead of being kept: ids that can be read back, and chances.

An organization of millions of recordings so takes no memory: an id holds its number in disguise and a check of it, so
that only ids of this seed are known.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import random

IdKind = Literal[
    "organization",
    "conversation",
    "communication",
    "recording",
    "queue",
    "division",
    "participant",
    "document",
    "download",
    "orphan",
    "message-media",
]

_PERSONS: dict[str, bytes] = {}
_DICE = struct.Struct(">8Q")
_CHECK_BYTES = 10
_NUMBER_BYTES = 5
GREATEST_NUMBER = 256**_NUMBER_BYTES - 1


class Derivation:
    """Derives UUIDs and chances from one seed; two with the same seed agree in everything."""

    def __init__(self, seed: int) -> None:
        self._key = hashlib.blake2b(f"organization {seed}".encode()).digest()

    def __repr__(self) -> str:
        return "<Derivation>"

    def id(self, kind: IdKind, number: int) -> str:
        """Return the UUID of the `number`-th thing of its kind."""
        check = self._digest(kind, number.to_bytes(_NUMBER_BYTES, "big"), _CHECK_BYTES)
        disguised = number ^ self._mask(kind, check)
        digits = f"{disguised:0{2 * _NUMBER_BYTES}x}{check.hex()}"
        # The 4 and the a are where a random UUID carries its version and variant.
        return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:18]}-{digits[18:]}"

    def number(self, kind: IdKind, text: str) -> int | None:
        """Return which thing of its kind an id belongs to; None when it is not one of these ids."""
        digits = text[:8] + text[9:13] + text[15:18] + text[20:23] + text[24:]
        if len(text) != 36 or not digits.isalnum():
            return None
        try:
            disguised, check = int(digits[: 2 * _NUMBER_BYTES], 16), bytes.fromhex(digits[2 * _NUMBER_BYTES :])
        except ValueError:
            return None
        number = disguised ^ self._mask(kind, check)
        return number if self.id(kind, number) == text else None

    def chances(self, purpose: str, about: str) -> tuple[float, ...]:
        """Return eight numbers from 0 up to 1, the same every time for one purpose and one thing."""
        dice: tuple[int, ...] = _DICE.unpack(self._digest(purpose, about.encode(), _DICE.size))
        return tuple((each >> 11) / 2**53 for each in dice)

    def _mask(self, kind: str, check: bytes) -> int:
        return int.from_bytes(self._digest(f"{kind} mask", check, _NUMBER_BYTES), "big")

    def _digest(self, purpose: str, data: bytes, size: int) -> bytes:
        person = _PERSONS.get(purpose)
        if person is None:
            person = _PERSONS[purpose] = hashlib.blake2b(purpose.encode(), digest_size=16).digest()
        return hashlib.blake2b(data, digest_size=size, key=self._key, person=person).digest()


def random_uuid(rng: random.Random) -> str:
    """Return a UUID as a server makes one up: random, and the same only for the same dice."""
    bits = f"{rng.getrandbits(128):032x}"
    # The 4 and the a are where a random UUID carries its version and variant.
    return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"
