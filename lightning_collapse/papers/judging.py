"""From what was measured to a verdict, as plain values."""

import math
from typing import Any

from lightning_collapse.analysis.agreement import Agreement, agreement, joint
from lightning_collapse.papers.claim import Claim, Evidence, Finding

__all__ = ["described", "judged"]

_WORDS = ("authors", "source", "says", "setting", "figure", "provenance", "data", "why")


def judged(claim: Claim, evidence: Evidence) -> dict[str, Any]:
    """Gives a claim's part of `verdicts.json`: what it says, what was found, and the verdict."""
    among = len(evidence.findings)
    told = [
        agreement(one.values, one.low, one.high, error=one.error, among=among)
        for one in evidence.findings
    ]
    return {
        "verdict": joint([one.word for one in told]),
        **described(claim),
        "findings": [_plain(*pair) for pair in zip(evidence.findings, told, strict=True)],
    }


def described(claim: Claim) -> dict[str, str]:
    """Gives the words of a claim's part."""
    return {name: getattr(claim, name) for name in _WORDS}


def _plain(finding: Finding, told: Agreement) -> dict[str, Any]:
    return {
        "what": finding.what,
        "theirs": finding.theirs,
        "allowed": [_finite(told.low), _finite(told.high)],
        "ours": _finite(told.ours.mean),
        "interval": [_finite(told.ours.low), _finite(told.ours.high)],
        "replicas": told.ours.n,
        "verdict": told.word,
        "replicas_needed": told.needed,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
