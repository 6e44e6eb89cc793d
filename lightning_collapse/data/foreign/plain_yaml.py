"""YAML from anyone: plain values only, each key once, and nothing that unfolds."""

from collections import Counter
from typing import Any

import yaml

__all__ = ["load_yaml"]

_MAX_CHARACTERS = 2**17
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def load_yaml(text: str, name: str) -> Any:
    """Reads YAML without aliases, of which a short text can unfold beyond any memory.

    Raises:
        ValueError: it is not that; the message starts with `name`.
    """
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(f"{name}: has {len(text)} characters; at most {_MAX_CHARACTERS} are read")
    try:
        return yaml.load(text, _Plain)  # noqa: S506 - a SafeLoader
    except RecursionError as error:
        raise ValueError(f"{name}: is nested too deep") from error
    except Exception as error:  # of many kinds, for values that are not what their form promises
        said = " ".join(str(error).split())
        raise ValueError(f"{name}: is not plain YAML ({said:.160})") from error


class _Plain(yaml.SafeLoader):
    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        # To YAML 1.1 12:00:00 is a number to the base of 60.
        return "tag:yaml.org,2002:str" if tag in _NUMBERS and ":" in str(value) else tag

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it has an alias; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = Counter(repr(self.construct_object(name, deep=True)) for name, _ in node.value)
        if twice := [name for name, n in names.items() if n > 1]:
            raise ValueError(f"the key {twice[0]} is there twice")
        return super().construct_mapping(node, deep)
