"""jsonargparse's errors, which fill a screen, as one line: key, value, what is allowed."""

import re
from collections.abc import Iterable, Sequence

from lightning_collapse.commands.hints import meant, suggested_key

__all__ = ["in_section", "made_line", "one_line"]

_PLAIN = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "NoneType": "null",
    "list": "a list in brackets",
    "dict": "a table in braces",
}


def one_line(
    message: str, keys: Iterable[str], classes: Iterable[str], words: Sequence[str] = ()
) -> str:
    """Gives an error of the command line or of a configuration file as one line.

    Args:
        message: what jsonargparse says.
        keys: keys that exist, in full, to suggest one for a key that does not.
        classes: class names that exist, likewise.
        words: the command line, which tells the whole of a key that is named by its last part.
    """
    text = " ".join(message.split())
    if found := re.match(r"unrecognized arguments: (-*)([^\s=]+)", text):
        return _unknown_key(found[2], keys) if found[1] else _too_many(found[2])
    if found := re.match(r"argument -*(\S+): expected one argument", text):
        return f"{found[1]}: needs a value; name one after it"
    if found := re.search(r"(?:Group '(\S+)' does not accept o|O)ption '(\S+)'", text):
        key = found[2].removesuffix(".class_path")
        return _unknown_key(f"{found[1]}.{key}" if found[1] else _in_full(key, words), keys)
    if found := re.search(r"arguments are required: (.+)", text):
        return f"{found[1]}: missing; name it in the configuration or on the command line"
    if found := re.search(r"File does not exist: '(.+)'", text):
        return f"config = {found[1]}: no such file"
    if found := re.match(r'Parser key "(\S+)": (.*)', text):
        return _bad_value(_in_full(found[1], words), found[2], classes)
    return _of_union(text)


def in_section(message: str, section: str) -> str:
    """Gives what jsonargparse says of a class's own options with these named in full."""
    text = " ".join(message.split())
    if found := re.search(r"arguments are required: (.+)", text):
        of_class = [f"{section}.{name}" for name in found[1].split(", ")]
        return f"arguments are required: {', '.join(of_class)}"
    return re.sub(r"""(^Parser key "|[Oo]ption ')""", rf"\1{section}.", text, count=1)


def made_line(error: Exception) -> str:
    """Gives the error of an object in the making as one line: its own, not jsonargparse's."""
    return _of_union(" ".join(str(error).split()))


def _of_union(text: str) -> str:
    # What any of several types might be is told for each of them: ours come first.
    found = re.match(
        r"Does not validate against any of the Union subtypes.*? Errors: - (.+)", text
    )
    if not found:
        return text
    first: str = re.split(r" - (?=Type |Import path |Expected )| Given value", found[1])[0]
    made = re.match(r"Problem with given class_path '(?:\w+\.)*(\w+)': (.*)", first)
    # A missing package is named in a sentence, and then in pages.
    return f"{made[1]}: {made[2].partition(' Requirement ')[0]}" if made else _of_union(first)


def _too_many(word: str) -> str:
    is_file = word.endswith((".yaml", ".yml"))
    return f"{word}: one argument too many{f'; did you mean --config {word}?' if is_file else ''}"


def _in_full(key: str, words: Sequence[str]) -> str:
    options = [word[2:].partition("=")[0] for word in words if word.startswith("--")]
    meant = [option for option in options if option.endswith(f".{key}")]
    return meant[0].replace(".init_args", "") if len(set(meant)) == 1 and "." not in key else key


def _unknown_key(key: str, keys: Iterable[str]) -> str:
    close = suggested_key(key, keys)
    told = close and not key.endswith(f".{close}")
    return f"{key}: unknown key{f'; did you mean {close}?' if told else ''}"


def _bad_value(key: str, text: str, classes: Iterable[str]) -> str:
    if "instantiatable class" in text:
        return f"{key}: missing; name its class, as --{key} NAME"
    types = dict.fromkeys(re.findall(r"Expected an? <class '(?:\w+\.)*(\w+)'>", text))
    named_class = re.search(r"dot import path string: (\S+)|given class_path '(\S+)'", text)
    if (found := named_class) and not types.keys() & {"int", "float"}:
        value, words = found[1] or found[2], re.findall(r"Literal\[(.*?)\]", text)
        known = [*classes, *", ".join(words).replace("'", "").split(", ")]
        return f"{key} = {value}: unknown class{meant(value.rpartition('.')[2], known)}"
    found = re.search(r"(?:Got|Given) value: (.*)$", text)
    value = found[1] if found else "?"
    if wanted := re.search(r"does not correspond to a subclass of (\w+)", text):
        return f"{key} = {value}: is no {wanted[1]}"
    if choices := re.findall(r"Literal\[(.*?)\]", text):
        allowed = list(dict.fromkeys(", ".join(choices).replace("'", "").split(", ")))
        return f"{key} = {value}: must be one of {', '.join(allowed)}{meant(value, allowed)}"
    if types:
        names = " or ".join(_PLAIN.get(name, name) for name in types)
        return f"{key} = {value}: must be {names}"
    return f"{key}: {text}"
