"""Holding ids become keyed hashes when they are read; without the key a guess cannot be tested."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from features.errors import DeclarationError
from features.files import partial_of

KEY_VARIABLE = "CROPCHECK_HOLDING_KEY"
KEY_BYTES = 32
DIGITS = 16
OWNER_ONLY = 0o600


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


def holding_key(own: Path, named: Path | None = None) -> bytes:
    """Return the secret that holdings are pseudonymised with.

    From the environment (`CROPCHECK_HOLDING_KEY`, any text), else from the file `named` by the config, else
    from the run's `own` file. Runs of one key give a holding one pseudonym, so their seasons can be pooled.
    A file that does not exist is made with 32 random bytes, readable by its owner alone (mode 600).

    Raises
    ------
    DeclarationError
        Where the stored key is too short to be one, or the file can neither be read nor made.
    """
    text = os.environ.get(KEY_VARIABLE)
    if text:
        return hashlib.sha256(text.encode()).digest()
    file = named or own
    try:
        key = file.read_bytes() if file.exists() else _new_key(file)
        if named is None and file.stat().st_mode & 0o777 != OWNER_ONLY:
            file.chmod(OWNER_ONLY)  # a copied folder may have lost it
    except OSError as error:
        raise DeclarationError(
            f"The holding key {file} can neither be read nor made ({error.strerror}); correct "
            f"declarations.holding_key, or set {KEY_VARIABLE}."
        ) from error
    if len(key) < KEY_BYTES:
        raise DeclarationError(
            f"The holding key {file} holds {len(key)} bytes of {KEY_BYTES}; delete it for a new one."
        )
    return key


def has_key(own: Path, named: Path | None = None) -> bool:
    """Whether there is a key already, as `holding_key` looks for one; none is made."""
    return bool(os.environ.get(KEY_VARIABLE)) or (named or own).exists()


def key_check(key: bytes) -> str:
    """Return a check value of a key: equal for equal keys, and slow to guess a key from (scrypt, RFC 7914).

    Examples
    --------
    >>> key_check(b"k" * 32) == key_check(b"k" * 32) != key_check(b"j" * 32)
    True
    """
    return hashlib.scrypt(key, salt=b"cropcheck holding key check", n=2**14, r=8, p=1, dklen=8).hex()


def _new_key(file: Path) -> bytes:
    """Write a fresh key whole or not at all; where another process was faster, return its key."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(file)
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb") as handle:
            os.fchmod(handle.fileno(), OWNER_ONLY)  # a umask may have taken the owner's own rights
            handle.write(secrets.token_bytes(KEY_BYTES))
        os.link(partial, file)
    except FileExistsError:
        pass
    finally:
        partial.unlink(missing_ok=True)
    return file.read_bytes()
