"""
Seeded ids: UUIDs that are derived from a seed and a number and can be decoded again, and seeded random numbers.

Nothing is stored, so an organization of millions of recordings takes no memory. An id contains its number, masked, and
a checksum, so that only ids of the same seed are recognized.
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
    "user",
    "flow",
    "wrap-up-code",
    "language",
    "division",
    "participant",
    "document",
    "platform-download",
    "orphan",
    "message-media",
]

_PERSONALIZATIONS: dict[str, bytes] = {}
_RANDOM_NUMBERS = struct.Struct(">8Q")
_CHECK_BYTES = 10
_NUMBER_BYTES = 5
MAX_NUMBER = 256**_NUMBER_BYTES - 1


class SeededIds:
    """Derives UUIDs and random numbers from one seed; two objects with the same seed are equivalent."""

    def __init__(self, seed: int) -> None:
        self._key = hashlib.blake2b(f"organization {seed}".encode()).digest()

    def __repr__(self) -> str:
        return "<SeededIds>"

    def id(self, kind: IdKind, number: int) -> str:
        """Return the UUID of the object with this number."""
        check = self._digest(kind, number.to_bytes(_NUMBER_BYTES, "big"), _CHECK_BYTES)
        masked = number ^ self._mask(kind, check)
        digits = f"{masked:0{2 * _NUMBER_BYTES}x}{check.hex()}"
        # The 4 and the a stand where a random UUID has its version and variant.
        return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:18]}-{digits[18:]}"

    def number(self, kind: IdKind, text: str) -> int | None:
        """Return the number of an id; None for an id of another kind or seed."""
        digits = text[:8] + text[9:13] + text[15:18] + text[20:23] + text[24:]
        if len(text) != 36 or not digits.isalnum():
            return None
        try:
            masked, check = int(digits[: 2 * _NUMBER_BYTES], 16), bytes.fromhex(digits[2 * _NUMBER_BYTES :])
        except ValueError:
            return None
        number = masked ^ self._mask(kind, check)
        return number if self.id(kind, number) == text else None

    def chances(self, purpose: str, about: str) -> tuple[float, ...]:
        """Return eight numbers from 0 up to 1, always the same for one purpose and one object."""
        numbers: tuple[int, ...] = _RANDOM_NUMBERS.unpack(self._digest(purpose, about.encode(), _RANDOM_NUMBERS.size))
        return tuple((each >> 11) / 2**53 for each in numbers)

    def _mask(self, kind: str, check: bytes) -> int:
        return int.from_bytes(self._digest(f"{kind} mask", check, _NUMBER_BYTES), "big")

    def _digest(self, purpose: str, data: bytes, size: int) -> bytes:
        person = _PERSONALIZATIONS.get(purpose)
        if person is None:
            person = _PERSONALIZATIONS[purpose] = hashlib.blake2b(purpose.encode(), digest_size=16).digest()
        return hashlib.blake2b(data, digest_size=size, key=self._key, person=person).digest()


def random_uuid(rng: random.Random) -> str:
    """Return a random UUID, reproducible with the same state of `rng`."""
    bits = f"{rng.getrandbits(128):032x}"
    # The 4 and the a stand where a random UUID has its version and variant.
    return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"
