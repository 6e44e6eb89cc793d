"""jsonargparse's errors, which fill a screen, as one line: key, value, what is allowed."""

import difflib
import re
from collections.abc import Iterable

__all__ = ["made_line", "one_line"]

_PLAIN = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "NoneType": "null",
}


def one_line(message: str, keys: Iterable[str], classes: Iterable[str]) -> str:
    """Gives an error of the command line or of a configuration file as one line.

    Args:
        message: what jsonargparse says.
        keys: keys that exist, to suggest one for a key that does not.
        classes: class names that exist, likewise.
    """
    text = " ".join(message.split())
    if found := re.match(r"unrecognized arguments: (-*)([^\s=]+)", text):
        return _unknown_key(found[2], keys) if found[1] else f"{found[2]}: one argument too many"
    if found := re.search(r"(?:Group '(\S+)' does not accept o|O)ption '(\S+)'", text):
        key = found[2].removesuffix(".class_path")
        return _unknown_key(f"{found[1]}.{key}" if found[1] else key, keys)
    if found := re.search(r"arguments are required: (.+)", text):
        return f"{found[1]}: missing; name it in the configuration or on the command line"
    if found := re.search(r"File does not exist: '(.+)'", text):
        return f"config = {found[1]}: no such file"
    if found := re.match(r'Parser key "(\S+)": (.*)', text):
        return _bad_value(found[1], found[2], classes)
    return text


def made_line(error: Exception) -> str:
    """Gives the error of an object in the making as one line: its own, not jsonargparse's."""
    text = " ".join(str(error).split())
    # What any of several types might be is told for each of them: ours come first.
    found = re.match(
        r"Does not validate against any of the Union subtypes.*? Errors: - (.+)", text
    )
    return re.split(r" - (?=Type |Import path )", found[1])[0] if found else text


def _unknown_key(key: str, keys: Iterable[str]) -> str:
    return f"{key}: unknown key{_hint(key, keys)}"


def _bad_value(key: str, text: str, classes: Iterable[str]) -> str:
    types = dict.fromkeys(re.findall(r"Expected an? <class '(?:\w+\.)*(\w+)'>", text))
    named_class = re.search(r"dot import path string: (\S+)|given class_path '(\S+)'", text)
    if (found := named_class) and not types.keys() & {"int", "float"}:
        value = found[1] or found[2]
        return f"{key} = {value}: unknown class{_hint(value.rpartition('.')[2], classes)}"
    found = re.search(r"(?:Got|Given) value: (.*)$", text)
    value = found[1] if found else "?"
    if wanted := re.search(r"does not correspond to a subclass of (\w+)", text):
        return f"{key} = {value}: is no {wanted[1]}"
    if choices := re.findall(r"Literal\[(.*?)\]", text):
        allowed = list(dict.fromkeys(", ".join(choices).replace("'", "").split(", ")))
        return f"{key} = {value}: must be one of {', '.join(allowed)}{_hint(value, allowed)}"
    if types:
        names = " or ".join(_PLAIN.get(name, name) for name in types)
        return f"{key} = {value}: must be {names}"
    return f"{key}: {text}"


def _hint(wrong: str, known: Iterable[str]) -> str:
    known = sorted(set(known))
    close = difflib.get_close_matches(wrong, known, n=1)
    # What is wrong here may be known elsewhere: an option of another class.
    return f"; did you mean {close[0]}?" if close and wrong not in known else ""
