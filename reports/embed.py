"""Pages that carry everything they need: markup, style, script and data, under a strict content policy."""

import base64
import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
LONGEST_TEXT = 200
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_PLAIN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


def clean(text: object) -> str:
    """Return text from a declaration as it can be printed: no control characters or surrogates, not endless.

    Escaping is the template's work; this only removes what no page can show. Direction marks are dropped
    (`Cf`), so that a name cannot turn its neighbours around; right-to-left letters stay.

    Examples
    --------
    >>> clean("a\\x00b\\u202ec\\n d")
    'abc d'
    >>> len(clean("x" * 1000))
    200
    """
    spaced = re.sub(r"\s+", " ", str(text)).strip()
    kept = "".join(
        char
        for char in spaced[: 4 * LONGEST_TEXT]
        if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co")
    )
    return kept if len(kept) <= LONGEST_TEXT else kept[: LONGEST_TEXT - 1] + "…"


def embed_json(value: object) -> Markup:
    """Return a value as JSON that may stand inside a `script` element whatever its strings hold.

    Examples
    --------
    >>> print(embed_json({"a": "</script>"}))
    {"a":"\\u003c/script\\u003e"}
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
    for char, escaped in _UNSAFE.items():
        text = text.replace(char, escaped)
    return Markup(text)


def file_name(parcel_id: str) -> str:
    """Return the sheet's file name: the id where it is plain, else a readable stem and a hash of the id.

    Examples
    --------
    >>> file_name("000123"), file_name("../../etc")
    ('000123.html', 'etc-74ccf3c5b4.html')
    """
    if _PLAIN_ID.fullmatch(parcel_id):
        return f"{parcel_id}.html"
    stem = re.sub(r"[^0-9A-Za-z]+", "-", parcel_id)[:40].strip("-") or "parcel"
    return f"{stem}-{hashlib.sha256(parcel_id.encode('utf-8', 'replace')).hexdigest()[:10]}.html"


def rounded(value: float | None, digits: int = 4) -> float | None:
    """Return a number for JSON: rounded, None where unknown."""
    return None if value is None or not math.isfinite(value) else round(float(value), digits)


def policy(styles: list[str], scripts: list[str]) -> str:
    """Return a Content-Security-Policy under which only these inline texts apply and nothing is fetched."""
    style = " ".join(map(_source, styles)) or "'none'"
    script = " ".join(map(_source, scripts)) or "'none'"
    rest = "connect-src 'none'; object-src 'none'; frame-src 'none'; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {script}; style-src {style}; img-src data:; {rest}"


def template(name: str) -> Template:
    """Return a template of the house; what it prints is escaped."""
    return _environment().get_template(name)


def render(template: str, scripts: list[str], context: Mapping[str, object]) -> str:
    """Return a page: `template` with the house style, the named scripts in order, and its policy."""
    style, script = asset("style.css"), "\n".join(asset(name) for name in scripts)
    frame = {
        "policy": policy([style], [script] if script else []),
        "style": Markup(style),
        "script": Markup(script),
    }
    return _environment().get_template(template).render(**frame, **context)


@cache
def asset(name: str) -> str:
    """Return the text of a style or script of the house."""
    return (TEMPLATES / name).read_text(encoding="utf-8").strip()


@cache
def _environment() -> Environment:
    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["v"] = sort_value
    return environment


def sort_value(value: object) -> str:
    """Return a number as a table sorts by it, nothing where it is unknown.

    Examples
    --------
    >>> sort_value(0.1 + 0.2), sort_value(None), sort_value(float("nan")), sort_value(1234567)
    ('0.3', '', '', '1234567')
    """
    if not isinstance(value, int | float) or not math.isfinite(value):
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"


@lru_cache(maxsize=32)  # a run's sheets have one style
def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
