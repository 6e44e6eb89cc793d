"""Verdicts as a table, for the screen and for a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning_collapse.papers.claim import Claim

__all__ = ["CLAIMS", "FINDINGS", "RULE", "claim_rows", "finding_rows", "line_of", "listed", "page"]

_UNKNOWN = "–"
CLAIMS = ("claim", "says", "source", "data", "theirs", "verdict", "why")
FINDINGS = ("claim", "finding", "theirs", "ours, with interval", "replicas", "")
RULE = (
    "*Holds*: the interval of ours lies within what the claim allows; *does not hold*: outside; "
    "else it cannot be told. The findings of a claim share 5 % of error. A claim that fails is a "
    "result."
)
"""When a claim holds, in Markdown."""


def listed(name: str, claim: Claim) -> str:
    """One line on a claim: name, authors and source, data, cost."""
    full, quick = (_minutes(minutes) for minutes in claim.cost)
    cost = full if full == quick else f"{full}, quick {quick}"
    return f"{name:28} {f'{claim.authors}, {claim.source}':58} {claim.data:7} {cost}"


def line_of(name: str, verdict: Mapping[str, Any]) -> str:
    """One line on a verdict; a claim that is not told says what would tell it."""
    told = f"{name:28} {verdict['verdict']:15} {verdict['says']}"
    needed = _needed(verdict)
    return f"{told} ({needed})" if needed else told


def claim_rows(verdicts: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Cells of a line a claim, as `CLAIMS` has them."""
    return [
        [
            name,
            one["says"],
            f"{one['authors']}, {one['source']}",
            f"{one['data']}: {one['setting']}",
            f"{one['figure']} ({one['provenance']})",
            one["verdict"],
            "; ".join(filter(None, (one["why"], _needed(one)))),
        ]
        for name, one in verdicts.items()
    ]


def finding_rows(verdicts: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Cells of a line a finding, as `FINDINGS` has them."""
    rows = []
    for name, one in verdicts.items():
        for found in one["findings"]:
            told = f"{_number(found['ours'])} [{', '.join(map(_number, found['interval']))}]"
            what, theirs, word = (str(found[key]) for key in ("what", "theirs", "verdict"))
            rows.append([name, what, theirs, told, str(found["replicas"]), word])
    return rows


def page(
    verdicts: Mapping[str, Mapping[str, Any]], command: str, left: Mapping[str, Claim]
) -> str:
    """A page in Markdown: one table of claims, then one of all findings.

    Args:
        verdicts: by the claims' names.
        command: that made them.
        left: claims that were not run, by their names.
    """
    claims = [
        [f"**{name}**: {says}", *cells, f"**{word}**", why]
        for name, says, *cells, word, why in claim_rows(verdicts)
    ]
    lines = [
        "# Published claims, checked here",
        "",
        f"Made by `{command}`. {RULE}",
        "",
        *_markdown(["claim", *CLAIMS[2:]], claims),
        "",
        *_markdown(FINDINGS, finding_rows(verdicts)),
    ]
    if left:
        costs = (f"{name} ({_minutes(one.cost[0])})" for name, one in left.items())
        lines += ["", f"Not run, as they take runs of `fit`: {', '.join(costs)}."]
    return "\n".join(lines) + "\n"


def _needed(verdict: Mapping[str, Any]) -> str:
    """What would tell a claim that is not told."""
    if verdict["verdict"] != "cannot be told":
        return ""
    open_ = [one for one in verdict["findings"] if one["verdict"] == "cannot be told"]
    needed = [one["replicas_needed"] for one in open_]
    if None in needed:
        return "more replicas of ours would not tell"
    return f"about {max(needed):,} replicas would tell"


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.4g}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *lines)]


def _minutes(minutes: float) -> str:
    if minutes >= 60:
        return f"{minutes / 60:.0f} h"
    return f"{minutes:.0f} min" if minutes >= 1 else f"{60 * minutes:.0f} s"
