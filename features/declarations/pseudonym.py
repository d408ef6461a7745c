"""Holding ids become keyed hashes at the door; without the key nobody can test a guess."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from features.errors import DeclarationError

KEY_VARIABLE = "CROPCHECK_HOLDING_KEY"
KEY_BYTES = 32
DIGITS = 16


def pseudonym(holding: str, key: bytes) -> str:
    """Return the first 64 bits of HMAC-SHA256 (RFC 2104) of a holding id, in hexadecimal.

    Examples
    --------
    >>> pseudonym("NL-0042", b"k" * 32) == pseudonym("NL-0042", b"k" * 32) != pseudonym("NL-0042", b"j" * 32)
    True
    >>> len(pseudonym("NL-0042", b"k" * 32))
    16
    """
    return hmac.digest(key, holding.encode(), hashlib.sha256).hex()[:DIGITS]


def holding_key(file: Path) -> bytes:
    """Return the key from the environment (`CROPCHECK_HOLDING_KEY`, any text), else the one stored in `file`.

    Where neither exists, 32 random bytes are stored in `file`, readable by its owner alone, so that a
    second run agrees with the first.

    Raises
    ------
    DeclarationError
        Where the stored key is too short to be one.
    """
    named = os.environ.get(KEY_VARIABLE)
    if named:
        return hashlib.sha256(named.encode()).digest()
    if not file.exists():
        return _new_key(file)
    key = file.read_bytes()
    if len(key) < KEY_BYTES:
        raise DeclarationError(
            f"The holding key {file} holds {len(key)} bytes of {KEY_BYTES}; delete it for a new one."
        )
    return key


def _new_key(file: Path) -> bytes:
    """Write a fresh key whole or not at all; where another process was faster, return its key."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
            handle.write(secrets.token_bytes(KEY_BYTES))
        os.link(partial, file)
    except FileExistsError:
        pass
    finally:
        partial.unlink(missing_ok=True)
    return file.read_bytes()
