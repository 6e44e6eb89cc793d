"""Where in a configuration an error is: parts name their own fields alone."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["within"]


@contextmanager
def within(section: str) -> Iterator[None]:
    """Puts a section of the configuration before the field that an error names.

    A ValueError or OSError that says `path = x: no such file` says `data.source.path = x: …`, and
    one that begins with no field `data.source: …`. The system's own errors stay as they are.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        if len(error.args) == 1:
            named = re.match(r"[A-Za-z_]\w*( = |: )", str(error))
            error.args = (f"{section}{'.' if named else ': '}{error}",)
        raise
