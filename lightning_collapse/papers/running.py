"""Claims taken one after the other; what is finished is not run again."""

import ast
import difflib
import hashlib
import json
import pkgutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from lightning_collapse.data.files import write_atomically
from lightning_collapse.papers import claims as room
from lightning_collapse.papers.claim import Claim, Task
from lightning_collapse.papers.figure import draw_claim
from lightning_collapse.papers.judging import described, judged

__all__ = ["VERDICTS", "chosen", "claim_of", "read_verdicts", "reproduce"]

VERDICTS = "verdicts.json"
_DATA = ("toy", "points", "digits")


def chosen(names: Sequence[str]) -> list[str]:
    """Gives the claims that are meant: those named, or all, those that cost least first.

    Raises:
        ValueError: there is no claim of a name.
    """
    known = [one.name.replace("_", "-") for one in pkgutil.iter_modules(room.__path__)]
    for name in names:
        if name not in known:
            near = [one for one in known if name in one]
            near = near or difflib.get_close_matches(name, known, n=3, cutoff=0.6)
            hint = f"did you mean {' or '.join(near)}?" if near else "see --list"
            raise ValueError(f"names = {name}: no such claim; {hint}")
    if names:
        return list(dict.fromkeys(names))
    return sorted(known, key=lambda name: (_DATA.index(claim_of(name).data), name))


def claim_of(name: str) -> Claim:
    """Gives the claim of a name, which is that of its file with dashes."""
    found: Claim = import_module(f"{room.__name__}.{name.replace('-', '_')}").CLAIM
    return found


def read_verdicts(out: Path) -> dict[str, Any]:
    """Gives the verdicts in a folder, by the claims' names; none where there are none.

    Raises:
        ValueError: the file is no such table.
    """
    path = out / VERDICTS
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text("utf-8"))["claims"]
        return {str(name): dict(one) for name, one in told.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(
            f"out = {out}: {path} is not what this command writes; remove it"
        ) from None


def reproduce(
    names: Sequence[str], task: Task, out: Path
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Runs claims that are not finished, writing `verdicts.json` and a figure after each.

    A claim is finished where its verdict is there, of as much effort, and of the same seed and
    file of the claim, whatever else of the package has changed; how it is worded is taken anew.

    Args:
        names: of claims.
        task: what they are asked for; toys are run at full effort.
        out: folder, which exists.

    Yields:
        Name, the claim's part of `verdicts.json`, and whether it was run now.
    """
    told = read_verdicts(out)
    for name in names:
        claim = claim_of(name)
        # A tenth of a toy's replicas would save seconds.
        asked = replace(task, effort=1.0) if claim.data == "toy" else task
        made_by = _made_by(name, asked)
        before = told.get(name, {})
        if _is_enough(before.get("made_by"), made_by) and (out / f"{name}.png").is_file():
            told[name] = before | described(claim)
            _write(out, told)
            yield name, told[name], False
            continue
        started = time.monotonic()
        evidence = claim.measure(asked)
        verdict = judged(claim, evidence) | {"made_by": made_by}
        verdict["seconds"] = round(time.monotonic() - started, 1)
        draw_claim(out, name, claim, evidence, verdict["verdict"])
        told = read_verdicts(out) | {name: verdict}
        _write(out, told)
        yield name, verdict, True


def _write(out: Path, told: dict[str, Any]) -> None:
    text = json.dumps({"claims": told}, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(out / VERDICTS, lambda file: file.write(text.encode()))


def _made_by(name: str, task: Task) -> dict[str, Any]:
    """What a verdict depends on; not how the claim is worded."""
    tree = ast.parse(Path(room.__path__[0], f"{name.replace('-', '_')}.py").read_bytes())
    tree.body = [node for node in tree.body if not isinstance(node, ast.Expr) and not _named(node)]
    digest = hashlib.blake2b(ast.dump(tree).encode(), digest_size=8).hexdigest()
    return {"effort": task.effort, "seed": task.seed, "code": digest}


def _is_enough(before: Any, asked: Mapping[str, Any]) -> bool:
    try:
        return {**before, "effort": None} == {**asked, "effort": None} and (
            before["effort"] >= asked["effort"]
        )
    except (TypeError, KeyError):
        return False


def _named(node: ast.stmt) -> bool:
    """Whether it is the claim itself."""
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CLAIM"
