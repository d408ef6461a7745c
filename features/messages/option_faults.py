"""What a user reads of an option that is wrong: which key, what may stand there, and what does."""

import difflib
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

DAY = "write a day as YYYY-MM-DD, such as 2024-03-01"
NUMBER, WHOLE = "write a number", "write a whole number"
LIST, SECTION = "write a list, such as [a, b]", "write a section: keys with values under it"
# what pydantic calls a fault, and what helps; `{…}` is filled from the fault's context
ASKED = {
    **dict.fromkeys(("date_type", "date_parsing", "date_from_datetime_parsing"), DAY),
    "date_from_datetime_inexact": f"{DAY}, without a time",
    **dict.fromkeys(("float_type", "float_parsing"), NUMBER),
    "finite_number": "write a finite number",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), WHOLE),
    **dict.fromkeys(("bool_type", "bool_parsing"), "write true or false"),
    "string_type": "write a text; put numbers and true or false into quotes",
    "string_pattern_mismatch": "the text must match {pattern}",
    "string_too_short": "the text needs at least {min_length} letters",
    "string_too_long": "the text may have at most {max_length} letters",
    "path_type": "write a path",
    "greater_than": "write a number above {gt}",
    "greater_than_equal": "write a number of at least {ge}",
    "less_than": "write a number below {lt}",
    "less_than_equal": "write a number of at most {le}",
    "multiple_of": "write a multiple of {multiple_of}",
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length}",
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type"), LIST),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), SECTION),
    "none_required": "leave it out, or write null",
}


def option_faults(
    error: ValidationError, kind: type[BaseModel], shown: Callable[[Any], str] = repr
) -> list[str]:
    """Return a line for each option that is wrong: its dotted key, what may stand there, and what does.

    Parameters
    ----------
    kind
        The options that were asked for.
    shown
        How a value is written, where it may hold what nobody should read.
    """
    faults = error.errors(include_url=False)
    inner = {tuple(fault["loc"][:end]) for fault in faults for end in range(len(fault["loc"]))}
    # that a list is too short is no news where its items are wrong
    news = [fault for fault in faults if fault["type"] != "too_short" or fault["loc"] not in inner]
    return list(dict.fromkeys(_line(fault, kind, shown) for fault in news))


def _line(fault: Any, kind: type[BaseModel], shown: Callable[[Any], str]) -> str:
    loc, model = _place(fault["loc"], kind)
    dotted = ".".join(loc) or "the config"
    if fault["type"] == "missing":
        return f"{dotted}: this key is needed; add it."
    if fault["type"] == "extra_forbidden":
        return f"{dotted}: there is no such key; {_other_key(loc[-1], model)}"
    asked = _asked(fault)
    field = model.model_fields.get(loc[-1]) if model and loc else None
    if fault["type"] == "string_pattern_mismatch" and field and field.description:
        asked = field.description[0].lower() + field.description[1:].rstrip(".")
    return f"{dotted}: {asked}; here is {shown(fault['input'])}."


def _asked(fault: Any) -> str:
    """Return what may stand in the place of a wrong value."""
    context = fault.get("ctx", {})
    if fault["type"] in ("value_error", "assertion_error"):  # a sentence of our own
        return str(context["error"]).rstrip(".")
    if fault["type"] in ("literal_error", "enum"):
        return _choice(fault["input"], str(context["expected"]))
    return ASKED.get(fault["type"], "this value cannot be used").format_map(context)


def _choice(given: Any, expected: str) -> str:
    """Return the values to choose from, and the nearest where one is near.

    Examples
    --------
    >>> _choice("lineer", "'none', 'linear' or 'whittaker'")
    "write 'none', 'linear' or 'whittaker' (did you mean 'linear'?)"
    """
    near = difflib.get_close_matches(str(given), expected.split("'")[1::2], 1, 0.6)
    return f"write {expected}" + (f" (did you mean {near[0]!r}?)" if near else "")


def _other_key(name: str, model: type[BaseModel] | None) -> str:
    names = list(model.model_fields) if model else []
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"the keys here are {', '.join(names)}."


def _place(loc: tuple[int | str, ...], kind: type[BaseModel]) -> tuple[list[str], type[BaseModel] | None]:
    """Return the keys that lead to a value, and the options that hold the last of them.

    Pydantic also names the branch of a union that it tried, such as `LandSurfaceOptions`: no key of a file.
    """
    keys: list[str] = []
    kinds, holder = [kind], kind
    for part in loc:
        inner = [found for one in kinds for found in _within(one, part)]
        if not inner and len(kinds) > 1:
            continue
        keys.append(str(part))
        models = [one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)]
        kinds, holder = inner, models[0] if models else holder
    return keys, holder


def _within(kind: Any, part: int | str) -> list[Any]:
    """Return what may stand under a key of options or of a mapping, or at a place of a list."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return branches(kind.model_fields[part].annotation) if part in kind.model_fields else []
    within = get_args(kind)
    if not within or (isinstance(part, int) == issubclass(get_origin(kind) or object, Mapping)):
        return []
    return branches(within[-1] if isinstance(part, str) else within[0])


def branches(annotation: Any) -> list[Any]:
    """Return the types that an annotation allows, without constraints on their values."""
    if get_origin(annotation) is Annotated:
        return branches(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [found for one in get_args(annotation) for found in branches(one) if one is not type(None)]
    return [annotation]
