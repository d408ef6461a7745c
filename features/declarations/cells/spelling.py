"""One spelling of a code or a name."""

import re
import unicodedata

SPACES = re.compile(r"\s+")

# signs without width, which text copied from web pages and spreadsheets brings: soft hyphens, joiners ...
UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")


def plain_code(text: str) -> str:
    """Return a text as `code_text` does."""
    return SPACES.sub(" ", UNSEEN.sub("", unicodedata.normalize("NFC", text))).strip()
