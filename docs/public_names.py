"""Fills the reference with the names that `lightning_collapse` gives, in the order of the loop.

The package imports them on first use, which mkdocstrings, reading files alone, cannot follow.
"""

from typing import Any

import lightning_collapse

_HERE = "<!-- the public names -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts the names in their place on the one page that has it (a hook of MkDocs)."""
    if _HERE not in markdown:
        return markdown
    lines: list[str] = []
    for module, names in lightning_collapse._WHERE.items():
        lines.append(f"## {module}\n")
        lines += [f"::: lightning_collapse.{module}.{name}\n" for name in names]
    return markdown.replace(_HERE, "\n".join(lines))
