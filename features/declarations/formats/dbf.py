"""The attribute table of a Shapefile, cell by cell: every digit and letter as it stands in the file.

dBASE III tables as ESRI uses them (ESRI Shapefile Technical Description, 1998, page 25): text is in the
code page that the .cpg names, numbers are text of a fixed width. Through GDAL numbers of more than 15 digits
become float64, and text in another code page than the .cpg's does not decode.
"""

import codecs
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from features.errors import DeclarationError

READ_HERE = "CNFDL"  # text, numbers, dates and yes or no; memos and binary types are left to GDAL
SAMPLE_BYTES = 16 * 2**20
LATIN_1 = "iso-8859-1"


@dataclass(frozen=True)
class Field:
    """A column of the table: its type letter, where it starts in a record, and its width in bytes."""

    kind: str
    start: int
    width: int


class AttributeTable:
    """A .dbf file, opened once; its columns are read when they are asked for.

    Raises
    ------
    DeclarationError
        Where the header contradicts the size of the file, or `encoding` names none.
    """

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        content = np.memmap(path, np.uint8, mode="r") if path.stat().st_size else np.zeros(0, np.uint8)
        head = bytes(content[:32])
        rows, start, width = (
            int.from_bytes(head[at : at + size], "little") for at, size in ((4, 4), (8, 2), (10, 2))
        )
        if len(head) < 32 or start < 33 or width < 1 or start + rows * width > len(content):
            raise DeclarationError(
                f"{path.name} is cut short of the {rows} rows that its header promises; copy it again."
            )
        self.path = path
        self._records = content[start : start + rows * width].reshape(rows, width)
        self.encoding = (
            named_encoding(encoding, "declarations.encoding") if encoding else self._own_encoding(head[29])
        )
        self.fields = self._described(bytes(content[32:start]))

    def __len__(self) -> int:
        return len(self._records)

    def column(self, name: str) -> np.ndarray:
        """Return a column as text, None where blank, `(rows,)`; a number of no fraction without its point."""
        field = self.fields[name]
        cells = np.ascontiguousarray(self._records[:, field.start : field.start + field.width])
        distinct, which = np.unique(cells.view(f"V{field.width}").ravel(), return_inverse=True)
        read = _number if field.kind in "NF" else self._text
        texts = np.array([*(read(bytes(cell)) for cell in distinct), None], dtype=object)
        return texts[which]

    def _text(self, cell: bytes) -> str | None:
        return cell.rstrip(b"\0 ").decode(self.encoding, errors="replace").strip() or None

    def _described(self, descriptors: bytes) -> dict[str, Field]:
        fields: dict[str, Field] = {}
        start = 1  # a record begins with its deletion mark
        for at in range(0, len(descriptors) - 31, 32):
            one = descriptors[at : at + 32]
            if one[0] == 0x0D:
                break
            kind = chr(one[11])
            width = one[16] + 256 * one[17] if kind == "C" else one[16]
            name = one[:11].split(b"\0")[0].decode(self.encoding, errors="replace").strip()
            if start + width > self._records.shape[1]:
                raise DeclarationError(f"{self.path.name} describes wider rows than it has; export it again.")
            if kind in READ_HERE and width:
                fields[name] = Field(kind, start, width)
            start += width
        return fields

    def _own_encoding(self, language_driver: int) -> str:
        """Return the encoding that the .cpg names, else UTF-8 where the bytes are that, else Latin-1."""
        beside = [self.path.with_suffix(end) for end in (".cpg", ".CPG")]
        said = next((file for file in beside if file.is_file()), None)
        if said is not None:
            found = _python_name(said.read_bytes()[:40].decode("ascii", errors="replace"))
            if found:
                return found
        sample = bytes(self._records.ravel()[:SAMPLE_BYTES])
        letters = sample.decode("utf-8", errors="replace")
        beyond = sum(letter > "\x7f" for letter in letters) if not sample.isascii() else 0
        if beyond and letters.count("\ufffd") <= beyond // 10:
            return "utf-8"
        return LANGUAGE_DRIVERS.get(language_driver, LATIN_1)


# language driver ids of dBASE (GDAL, ogr/ogrsf_frmts/shape, "ESRI Shapefile / DBF": Encoding)
LANGUAGE_DRIVERS = {
    0x01: "cp437", 0x02: "cp850", 0x03: "cp1252", 0x57: "cp1252", 0x64: "cp852", 0x65: "cp866", 0x66: "cp865",
    0x6A: "cp737", 0x6B: "cp857", 0xC8: "cp1250", 0xC9: "cp1251", 0xCA: "cp1254", 0xCB: "cp1253",
    0xCC: "cp1257",
}  # fmt: skip


def named_encoding(name: str, key: str) -> str:
    """Return Python's name of an encoding; raise a DeclarationError that names `key` where there is none."""
    found = _python_name(name)
    if found is None:
        raise DeclarationError(
            f"{key} {name!r} names no encoding; write it like UTF-8, CP1250 or ISO-8859-2."
        )
    return found


def _python_name(said: str) -> str | None:
    """Return the text encoding that a .cpg means: "1250", "ANSI 1250", "UTF8", "88592", "ISO 8859-2".

    Examples
    --------
    >>> [_python_name(said) for said in ("ANSI 1250", "UTF8", "65001", "8859-2", "88592", "none", "zlib")]
    ['cp1250', 'utf-8', 'utf-8', 'iso8859-2', 'iso8859-2', None, None]
    """
    plain = said.strip(" \0\r\n\t\ufeff")
    digits = re.fullmatch(r"(?:ANSI|CP|IBM|OEM|WINDOWS-?)?[ _-]*(\d{3,5})", plain, re.IGNORECASE)
    latin = re.fullmatch(r"(?:ISO)?[ _-]*8859[ _-]*(\d{1,2})", plain, re.IGNORECASE)
    name = f"iso8859-{latin[1]}" if latin else f"cp{digits[1]}" if digits else plain
    try:
        info = codecs.lookup("utf-8" if name == "cp65001" else name)
    except (LookupError, ValueError):
        return None
    return info.name if info._is_text_encoding else None


def _number(cell: bytes) -> str | None:
    """Return a number's digits, "17" for "17.000"; None where it is blank or stars."""
    text = cell.strip(b"\0 ").decode("ascii", errors="replace")
    try:
        value = Decimal(text)
    except InvalidOperation:
        return text.strip("*") or None
    whole = value.is_finite() and abs(value.adjusted()) < 40 and value == value.to_integral_value()
    return str(int(value)) if whole else text
