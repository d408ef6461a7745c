"""Bundles made by somebody hostile: a file is changed, and the hash that is noted of it with it."""

import re
from collections.abc import Callable
from pathlib import Path

from features.files import sha256

# Changes of a LightGBM text that leave its sizes as they are: each would end the library's process, or let
# it read beyond its arrays.
HOSTILE: dict[str, Callable[[str], str]] = {
    "a loop": lambda text: re.sub(r"left_child=\S+", "left_child=0", text, count=1),
    "a column beyond": lambda text: re.sub(r"split_feature=\d+", "split_feature=9999", text, count=1),
    "a huge tree": lambda text: re.sub(r"num_leaves=\d+", "num_leaves=2000000000", text, count=1),
    "no number": lambda text: re.sub(r"leaf_value=\S{3}", "leaf_value=nan", text, count=1),
}


def rehash(bundle: Path, file: Path, change: Callable[[str], str]) -> None:
    """Change a text file of a bundle, and its hash in the bundle's own document."""
    before, text = sha256(file), file.read_text()
    changed = change(text)
    assert changed != text
    file.write_text(_sized(changed))
    document = bundle.read_text()
    assert before in document
    bundle.write_text(document.replace(before, sha256(file)))


def _sized(text: str) -> str:
    """Note the sizes of the trees anew."""
    body = text[text.index("Tree=0") : text.index("end of trees")]
    sizes = [len(tree) for tree in re.split(r"(?=Tree=\d+\n)", body) if tree]
    return re.sub(r"tree_sizes=.*", f"tree_sizes={' '.join(map(str, sizes))}", text, count=1)
