"""Files of recordings' ids as people have them: each beside the ids that are in it."""

from __future__ import annotations

import gzip
import json

A, B, C, D = (f"{digit * 8}-6f1c-4f0e-9d5b-0d8f3c1f1b11" for digit in "a1c2")


def packed(content: bytes) -> bytes:
    # Without the time, which would be in the names of tests.
    return gzip.compress(content, 1, mtime=0)


def result(file_id: str, status: str = "ok", media_id: str | None = None) -> str:
    return json.dumps({"schema_version": 1, "file_id": file_id, "media_id": media_id, "status": status, "url": None})


RECORDINGS: dict[str, tuple[str | bytes, list[str]]] = {
    # Headers.
    "columns in any order, beside others": (
        f"queue,recordingId,conversationId\nq,{B},{A}\n,{D},{C}\n",
        [f"{A}/{B}", f"{C}/{D}"],
    ),
    "an empty or missing cell makes the shorter id": (
        f"conversationId,recordingId\n{A},\n{B}\n{C},{D}\n",
        [A, B, f"{C}/{D}"],
    ),
    "names as an export has them": (f'"Queue","Conversation ID"\r\n"Q",{A}\r\n', [A]),
    "a name of two lines": (f'"Conversation\nID","Note"\n{A},x\n', [A]),
    "a name of two lines after that of the id": (f'Conversation ID,"Note,\nof it"\n{A},x\n', [A]),
    "a comma in a name, semicolons between": (f'Users;"Duration, s";Conversation ID\r\n"Doe; Roe";"1,5";{A}\r\n', [A]),
    "pipes": (f"queue|conversation_id\nQ|{A}\n", [A]),
    "pipes, aligned by a terminal": (f" queue | conversation_id \n-------+-----\n Q     | {A}\n", [A]),
    "another delimiter": (f"queue^conversation_id\nQ,1^{A}\n", [A]),
    "a single column": (f"Conversation ID\r\n{A}\r\n{B}\r\n", [A, B]),
    "two files put together": (f"Conversation ID,Q\n{A},1\n\ufeffConversation ID,Q\n{B},2\n", [A, B]),
    # Above a header.
    "sep=": (f"sep=;\r\nConversation ID;Queue\r\n{A};Q\r\n", [A]),
    "sep= in quotes, and a byte order mark": (f'\ufeff"sep=;"\r\n"Conversation ID";"Queue"\r\n"{A}";"Q"\r\n', [A]),
    "titles": (f"Interactions, all queues\nExported 2026-11-30\n\n,,\nConversation ID,Queue\n{A},Q\n", [A]),
    "a title of two lines with an id": (f'"All like\n{C}\n",,\nConversation ID,Queue\n{A},Q\n', [A]),
    "a title that begins with a line break": (f'"\n{C}\n"\nConversation ID,x\n{A},1\n', [A]),
    "a title with a quote": (f'"Interactions\nConversation ID,Queue\n{A},Q\n', [A]),
    "PowerShell's type": (f'#TYPE System.Object\r\n"conversationId","x"\r\n"{A}","1"\r\n', [A]),
    "comments": (f"# of Monday, 'all'\nconversationId,x\n{A},1\n# {B},1\n#{C},1\n", [A]),
    # Quotes.
    "a note of two lines": (f'Note,Conversation ID\r\n"one\ntwo, three",{A}\r\nx,{B}\r\n', [A, B]),
    "a note that quotes another id": (f'Conversation ID,Note\r\n{A},"see\n{C}\nand {D}"\r\n{B},\r\n', [A, B]),
    "a note with quotes": (f'Note,Conversation ID\n"5"" ""x""\n""",{A}\n5" disk,{B}\n', [A, B]),
    "a note that begins like a comment": (f"Note,Conversation ID\n#1,{A}\n", [A]),
    # Around a cell.
    "formula cells": (f'conversationId,recordingId\n="{A}","=""{B}"""\n', [f"{A}/{B}"]),
    "apostrophes, blanks, marks without width": (
        f"Conversation ID,x\n'{A},1\n\u00a0{B}\u200b ,1\n\u202a{C}\u202c,1\n",
        [A, B, C],
    ),
    "braces": (f"{{{A}}}\n{{{B}}}\n", [A, B]),
    "rows of empty cells": (f"Conversation ID,Queue,x\n,,\n{A},Q,\n ,, \n,,\n", [A]),
    "a record without an id": (f"Conversation ID,Queue\n,Q\n{A},Q\n", ["", A]),
    # Lines.
    "lines": (f"{A}\n{B}", [A, B]),
    "lines of Windows": (f"{A}\r\n{B}\r\n", [A, B]),
    "lines of the old Mac": (f"Conversation ID,x\r{A},1\r{B},2\r", [A, B]),
    "lines that went through two transfers": (f"{A}\r\r\n{B}\r\r\n", [A, B]),
    "commas at the end, quotes around": (f"'{A}',\n\"{B}\";\n", [A, B]),
    "parts without a header": (f"{A},{B}\n{C}\n{C}/{D}\n{A};{B}\n", [f"{A}/{B}", C, f"{C}/{D}", f"{A}/{B}"]),
    "lines, then a table": (f"{A}\nconversationId,x\n{B},1\n", [A, B]),
    "a comment and blank lines": (f"# of Monday\n\n \t\n{A}\n#{B}\n\n", [A]),
    # Bytes.
    "UTF-16 of a spreadsheet": (f"Conversation ID\tQueue\r\n{A}\tRück\r\n".encode("utf-16"), [A]),
    "UTF-16, the other way round": (f"\ufeff{A}\r\n{B}".encode("utf-16-be"), [A, B]),
    "UTF-16 that is cut off": (f"{A}\n{B}".encode("utf-16")[:-1], [A, f"{B[:-1]}\ufffd"]),
    "a foreign byte in another column": (f"Conversation ID;Note\n{A};R".encode() + b"\xfcck\0\n", [A]),
    "a foreign byte in a name": (b"Gespr\xe4ch;Conversation ID\nx;" + A.encode(), [A]),
    "a foreign byte in an id": (f"{A}\n".encode() + b"\xfc\n" + B.encode(), [A, "\udcfc", B]),
    "a foreign byte in the first id": (b"\xfc" + f"{A}\n{B}".encode(), [f"\udcfc{A}", B]),
    "a NUL in an id": (f"Conversation ID,x\n{A}\0,1\n{B},2\n", [f"{A}\0", B]),
    "gzip": (packed(f"Conversation ID,x\n{A},1\n".encode()), [A]),
    "gzip twice, padded": (packed(A.encode() + b"\n") + packed(B.encode()) + bytes(99), [A, B]),
    "gzip of UTF-16": (packed(A.encode("utf-16")), [A]),
    # The command's own output.
    "JSON lines": (f"{result(A)}\n\n{result(B, 'failed')}\n", [A, B]),
    "JSON lines, one for each medium": (f"{result(A, media_id='1')}\n{result(B)}\n{result(A, media_id='2')}", [A, B]),
    "JSON lines of another program": (
        f'{{"conversationId":"{A}","recordingId":"{B}"}}\n{{"id":"{C}"}}',
        [f"{A}/{B}", "<line 2>"],
    ),
    "a line of JSON that is cut off": (f'{result(A)}\n{{"file_id":"{B}"', [A, "<line 2>"]),
    "JSON texts": (f'"{A}"\n"{B}"\n', [A, B]),
    "an array of JSON texts": (f'[\n  "{A}",\n  "{B}"\n]\n', [A, B]),
    "CSV with a comma in a message": (
        f'file_id,media_id,status,error_message\n{A}/{B},,failed,"no, not\n{C}"\n',
        [f"{A}/{B}"],
    ),
    "CSV, one for each medium": (f"file_id,media_id,status\n{A},1,ok\n{A},2,ok\n", [A]),
    "lines of which one is a record of something else": (f"{A}\n{B},Q1\n{C},{D}\n", [A, f"{B},Q1", f"{C}/{D}"]),
    "a first cell of two lines that is no header": (f'"1\n{C}"\n{A}\n', [f"1\n{C}", A]),
    "JSON nested too deep": (f'{result(A)}\n{{"x":{"[" * 5_000}\n', [A, "<line 2>"]),
    # Nothing.
    "nothing": ("", []),
    "a header alone": ("conversationId,recordingId\n\n", []),
    "blank lines": ("\n \r\n", []),
}
