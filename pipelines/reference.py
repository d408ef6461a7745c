"""Every key of the config with its type, default, unit and meaning, from the option classes themselves.

python -m pipelines.reference     writes conf/REFERENCE.md
"""

import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from features.files import write_text
from models.crops.estimators.by_name import OPTIONS
from pipelines.config import RunConfig

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "conf" / "REFERENCE.md"
HEADING = """# Every key of a config

Written by `python -m pipelines.reference` from the option classes; do not edit it by hand. A config is one
YAML file; `--set KEY=VALUE` overrides a key. A key without a default is needed. `cropcheck init PARCELFILE`
writes a first config, `conf/agencies/` holds some for published extracts.
"""
TABLE = "| key | type | default | unit | meaning |\n|---|---|---|---|---|\n"
# units by the end of a key's name, the longest first
UNITS = {
    "_m2": "m2", "_metres": "m", "_km": "km", "_m": "m", "_ha": "ha", "_px": "pixels", "_gib": "GiB",
    "_mb": "MB", "_days": "days", "_c": "°C", "_mm": "mm", "_share": "0 to 1", "_rate": "0 to 1",
    "max_cloud_cover": "%", "seconds": "s", "alpha": "0 to 1",
}  # fmt: skip
NAMES_OF_TYPES = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    Any: "any",
}


def reference() -> str:
    """Return the reference as Markdown."""
    models = {f"{name}.": _model_in(field.annotation) for name, field in RunConfig.model_fields.items()}
    models |= {f"train.models.{name}.": kind for name, kind in OPTIONS.items()}
    sections = [_section(prefix, model) for prefix, model in models.items() if model is not None]
    sections.insert(0, _section("", RunConfig, nested=False))
    return "\n".join([HEADING, *sections])


def _section(prefix: str, model: type[BaseModel], nested: bool = True) -> str:
    about = (model.__doc__ or "").strip().split("\n\n")[0]
    title = prefix.rstrip(".") or "The run"
    rows = [_row(key, field) for key, field in _fields(prefix, model, nested)]
    return f"## {title}\n\n{' '.join(about.split())}\n\n{TABLE}{''.join(rows)}"


def _fields(prefix: str, model: type[BaseModel], nested: bool = True) -> Iterator[tuple[str, FieldInfo]]:
    """Yield every key below a section, in the order of its class, with its field; `[]` stands for an item of
    a list, `*` for a name of one's own.
    """
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is not None and nested:
            yield from _fields(f"{prefix}{name}.", inner)
        elif inner is None:
            yield f"{prefix}{name}", field
            for sign, item in _models_of_items(field.annotation):
                yield from _fields(f"{prefix}{name}{sign}.", item)


def _row(key: str, field: FieldInfo) -> str:
    kind = type_text(field.annotation) + _limits(field)
    cells = (f"`{key}`", kind, _default(field), _unit(key), " ".join((field.description or "").split()))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def type_text(annotation: Any) -> str:
    """Return a type in words.

    Examples
    --------
    >>> type_text(tuple[str, ...] | None), type_text(Literal["a", "b"]), type_text(dict[str, float])
    ('list of text, or null', '`a`, `b`', 'mapping of text to number')
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(inner[0])
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in inner)
    if origin in (Union, types.UnionType):
        kinds = [type_text(kind) for kind in inner if kind is not type(None)]
        return ", or ".join([*kinds, *(["null"] if type(None) in inner else [])])
    if origin in (tuple, list, frozenset, set):
        kinds = list(dict.fromkeys(type_text(kind) for kind in inner if kind is not Ellipsis))
        return f"list of {' and '.join(kinds)}"
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping of {type_text(inner[0])} to {type_text(inner[1])}"
    return NAMES_OF_TYPES.get(annotation) or str(getattr(annotation, "__name__", annotation))


def _limits(field: FieldInfo) -> str:
    signs = {
        "ge": "at least",
        "gt": "above",
        "le": "at most",
        "lt": "below",
        "min_length": "at least",
        "pattern": "",
    }
    said = [
        f"{words} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, words in signs.items()
        if isinstance(getattr(limit, name, None), (int, float))
    ]
    return f" ({', '.join(said)})" if said else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    """Return a default as YAML writes it, paths from the project's folder."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Path):
        return (value.relative_to(ROOT) if value.is_relative_to(ROOT) else value).as_posix()
    if isinstance(value, (tuple, list, frozenset, set)):
        items = sorted(value, key=str) if isinstance(value, (frozenset, set)) else value
        return f"[{', '.join(_plain(item) for item in items)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_plain(item)}' for key, item in value.items())}}}"
    return str(value) or '""'


def _unit(key: str) -> str:
    name = key.rsplit(".", maxsplit=1)[-1]
    return next(
        (unit for end, unit in sorted(UNITS.items(), key=lambda one: -len(one[0])) if name.endswith(end)), ""
    )


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the option class of a section, also where it may be null; None for a plain key."""
    kinds = (
        (annotation, *get_args(annotation))
        if get_origin(annotation) in (Union, types.UnionType)
        else (annotation,)
    )
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _models_of_items(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the option classes of the items of a list or mapping, and the sign that stands for one."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        for kind in inner:
            yield from _models_of_items(kind)
    elif isinstance(origin, type) and issubclass(origin, (tuple, list, Mapping)):
        sign = ".*" if issubclass(origin, Mapping) else "[]"
        found = dict.fromkeys(model for kind in inner if (model := _model_in(kind)) is not None)
        yield from ((sign, model) for model in found)


if __name__ == "__main__":
    write_text(REFERENCE, reference())
    print(f"Wrote {REFERENCE}")
