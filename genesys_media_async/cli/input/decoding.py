"""
Lines of text from the bytes of a file, however these are cut. Pure.

Gzip and UTF-16 are recognised by their first bytes, as `file` does it, whatever the file is called; all else is read
as UTF-8. Memory is bounded, whatever the bytes are: what gzip holds is unpacked a piece at a time, and a line that is
too long is cut.
"""

from __future__ import annotations

import codecs
import io
import re
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK: Final = 64 * 1024
MAX_LINE: Final = 1024 * 1024
"""Bytes of a line that are kept."""

_BOM: Final = codecs.BOM_UTF8
_UTF16_BOMS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_GZIP: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31
_OTHER_FORMATS: Final = {
    b"PK\x03\x04": "an Excel workbook or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
}
_BEGINNINGS: Final = (_GZIP, *_UTF16_BOMS, *_OTHER_FORMATS)

# RFC 4180 has CR LF; a CR at the end of what has arrived may still be followed by its LF.
_LINE_END: Final = re.compile(rb"\n|\r(?=[^\n])")


class InputError(ValueError):
    """An input that cannot be read on: `str` of it is what is wrong and the repair; `line` counts from 1, 0 is all."""

    def __init__(self, wrong: str, line: int = 0) -> None:
        super().__init__(wrong)
        self.line = line


class LineDecoder:
    r"""
    Decodes chunks of bytes to lines, each with `\n` at its end.

    Lines end with LF, CR LF, or CR alone, as the first of them does; the other character is a blank. A byte that is not
    UTF-8 becomes a lone surrogate, as in file names (PEP 383). Byte order marks are dropped, also between files that
    were put together. `size` counts the bytes of the text.
    """

    def __init__(self) -> None:
        self.size = 0
        self.is_cut = False
        """True if the line returned last is the beginning of one with more than `MAX_LINE` bytes."""
        self._unpacker = _Unpacker()
        self._rest = b""
        self._end = b""
        self._is_skipping = False

    def feed(self, chunk: bytes) -> Iterator[list[str]]:
        """Yield the lines that end in this chunk. Raises `InputError`, after the lines before it."""
        for piece in self._unpacker.feed(chunk):
            self.size += len(piece)
            yield from self._split(piece)

    def finish(self) -> Iterator[list[str]]:
        """Yield the last line, if it has no end. Raises `InputError` for packed data that is cut off."""
        for piece in self._unpacker.finish():
            yield from self._split(piece)
        if self._rest and not self._is_skipping:
            yield self._lines(self._rest + (self._end or b"\n"))

    def _split(self, piece: bytes) -> Iterator[list[str]]:
        text = self._rest + piece
        if not self._end and (found := _LINE_END.search(text)):
            self._end = found[0]
        lines, end, self._rest = text.rpartition(self._end) if self._end else (b"", b"", text)
        lines += end
        if self._is_skipping and end:
            self._is_skipping = False
            lines = lines.partition(end)[2]
        if lines:
            yield self._lines(lines)
        if len(self._rest) > MAX_LINE:
            yield from self._cut()

    def _cut(self) -> Iterator[list[str]]:
        beginning, self._rest = self._rest[:MAX_LINE], b""
        if not self._is_skipping:
            self._is_skipping = self.is_cut = True
            yield self._lines(beginning + (self._end or b"\n"))
            self.is_cut = False

    def _lines(self, block: bytes) -> list[str]:
        if self._end == b"\r":
            block = block.replace(b"\r\n", b"\r").replace(b"\n", b" ").replace(b"\r", b"\n")
        elif b"\r" in block:
            # The lone ones: csv would refuse them outside quotes.
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b" ")
        if _BOM in block:
            block = block.replace(_BOM, b"")
        # str.splitlines would also split at form feeds and other characters that a cell can have.
        return list(io.StringIO(block.decode("utf-8", "surrogateescape"), newline="\n"))


class _Unpacker:
    """Unpacks gzip (RFC 1952, with several members) and UTF-16 to pieces of UTF-8; everything else passes."""

    def __init__(self) -> None:
        self._packed = _Beginning()
        self._text = _Beginning()
        self._inflate = zlib.decompressobj(_GZIP_WINDOW)
        self._is_inside_member = False
        self._utf16 = codecs.getincrementaldecoder("utf-16")("replace")

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        chunk = self._packed.complete(chunk)
        if self._packed.known != _GZIP:
            yield from self._utf8(chunk)
            return
        try:
            while chunk:
                piece, chunk = self._inflated(chunk)
                yield from self._utf8(piece)
        except zlib.error:
            raise InputError("the gzip data is broken; fetch or pack it again") from None

    def finish(self) -> Iterator[bytes]:
        if self._is_inside_member:
            raise InputError("the gzip data ends before its end; it was cut off, so fetch or pack it again")
        # A text that is shorter than the beginning that it could have become.
        yield self._packed.held + self._text.held
        if self._text.known in _UTF16_BOMS:
            yield self._utf16.decode(b"", final=True).encode()

    def _inflated(self, data: bytes) -> tuple[bytes, bytes]:
        """Return a piece of what is in packed data, and the data that is left."""
        if not self._is_inside_member:
            # Tapes and block devices fill the end with zeros.
            data = data.lstrip(b"\0")
            self._inflate = zlib.decompressobj(_GZIP_WINDOW)
        self._is_inside_member = bool(data)
        piece = self._inflate.decompress(data, CHUNK)
        if self._inflate.eof:
            self._is_inside_member = False
            return piece, self._inflate.unused_data
        return piece, self._inflate.unconsumed_tail

    def _utf8(self, data: bytes) -> Iterator[bytes]:
        data = self._text.complete(data)
        if what := _OTHER_FORMATS.get(self._text.known):
            raise InputError(f"it is {what}; save the ids as CSV or text, one record a line")
        yield self._utf16.decode(data).encode("utf-8", "replace") if self._text.known in _UTF16_BOMS else data


class _Beginning:
    """The first bytes of data: which of the `_BEGINNINGS` they are, as soon as there are enough of them."""

    def __init__(self) -> None:
        self.held = b""
        self.known: bytes = b""
        self._is_over = False

    def complete(self, data: bytes) -> bytes:
        """Return data with what was held back before it; nothing as long as it can become another beginning."""
        if self._is_over:
            return data
        data, self.held = self.held + data, b""
        if any(len(data) < len(each) and each.startswith(data) for each in _BEGINNINGS):
            self.held = data
            return b""
        self._is_over = True
        self.known = next(filter(data.startswith, _BEGINNINGS), b"")
        return data
