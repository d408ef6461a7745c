"""YAML 1.2 scalars only, so that codes such as NO, 001 and 1e3 keep their spelling."""

import re
from pathlib import Path

import yaml

from features.errors import ConfigError
from features.messages.listed import listed


class _Loader(yaml.SafeLoader):
    """A safe loader in which only true/false, null, plain integers and plain decimals are not text."""

    yaml_implicit_resolvers: dict[str, list] = {}  # noqa: RUF012 (PyYAML's own registry)


def _resolve(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


_resolve("bool", r"^(?:true|false)$", "tf")
_resolve("null", r"^(?:null|~|)$", "n~")
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^$"), [""])
_resolve("int", r"^-?(?:0|[1-9][0-9]*)$", "-0123456789")
_resolve("float", r"^-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]+)?$", "-0123456789")


def _unique_mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
    if repeated:
        line = node.start_mark.line + 1
        raise ConfigError(
            f"The keys {listed(repeated)} stand twice in the mapping at line {line}; keep one of each."
        )
    return {
        key: loader.construct_object(value, deep=True)
        for key, (_, value) in zip(keys, node.value, strict=True)
    }


_Loader.add_constructor("tag:yaml.org,2002:map", _unique_mapping)


def parse_yaml(text: str, source: str = "the text") -> object:
    """Parse YAML; `NO` stays text, `001` stays text, `1` is a number.

    Examples
    --------
    >>> parse_yaml("{country: NO, code: 001, n: 1, on: true}")
    {'country': 'NO', 'code': '001', 'n': 1, 'on': True}
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not valid YAML: {error}") from error


def read_yaml(path: Path) -> object:
    """Read a YAML file.

    Raises
    ------
    ConfigError
        Where the file is missing, not text, or not YAML.
    """
    if not path.is_file():
        nearby = sorted(str(other) for other in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        there = listed(nearby) if nearby else "no .yaml files"
        raise ConfigError(f"There is no config file {path}; in its folder are {there}.")
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a text file in UTF-8; is it a config?") from error
