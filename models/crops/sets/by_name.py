"""The readers of public sets by name; a reader's module is imported at first use."""

from importlib import import_module
from typing import cast

from models.crops.sets.options import SetName
from models.crops.sets.sample import SetReader


def reader_of(name: SetName) -> SetReader:
    """Return the reader of a set.

    Examples
    --------
    >>> reader_of("pastis").ABOUT.licence
    'Etalab Open Licence 2.0'
    """
    return cast(SetReader, import_module(f"models.crops.sets.readers.{name}"))
