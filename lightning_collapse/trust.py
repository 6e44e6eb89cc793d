"""Classes from outside this package, named by a file that may be anyone's.

Importing one runs its file, so none is imported but what the user trusts by name.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

__all__ = ["Trusted", "import_trusted"]

Trusted = str | Sequence[str] | None
"""Class paths that the user trusts, such as `mine.Net`, or in one text `mine.Net,mine.Scaling`."""


def import_trusted(
    what: str, class_path: object, ours: Sequence[str], trusted: Trusted
) -> Callable[..., Any]:
    """Imports what a file names, if the user trusts a class of that name.

    Args:
        what: the class is, such as `network`; for errors.
        class_path: as the file has it; only its last part counts, since a script's module is
            called otherwise than where it is imported.
        ours: names that need no trust.
        trusted: what the user trusts, whose path is the one imported.

    Raises:
        ValueError: the user trusts none of that name, or it cannot be imported.
    """
    name = str(class_path).rpartition(".")[2]
    for path in trusted.split(",") if isinstance(trusted, str) else trusted or ():
        module, _, last = path.rpartition(".")
        if module and last == name:
            return _imported(module, name)
    named = ascii(str(class_path)[:100])[1:-1]
    raise ValueError(
        f"{what} = {named}: is none of {', '.join(ours)}, and may run any code; if you trust it, "
        f"add --trust_class {named}, in Python trust_class={named!r}"
    )


def _imported(module: str, name: str) -> Callable[..., Any]:
    try:
        made: Callable[..., Any] = getattr(import_module(module), name)
    except Exception as error:  # of any kind, in a module of the user's
        raise ValueError(
            f"trust_class = {module}.{name}: cannot be imported ({error!r:.200}); start where its "
            "file is, or put that folder in PYTHONPATH"
        ) from error
    return made
