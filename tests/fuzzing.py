"""Mutants of files, and what becomes of them: refused in one line, or read as something sound.

Whatever a mutant is, reading it runs nothing, and takes little time and little memory.
"""

import codecs
import random
import resource
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

# What Python tells its auditors before it runs something or touches the system.
RUNNING = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "os.putenv", "subprocess.Popen"}
RUNNING |= {"pickle.find_class", "ctypes.dlopen", "socket.connect", "import"}

# Imported now: json decodes by what the first bytes look like, zip names are of code page 437.
for _name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "cp437"):
    codecs.lookup(_name)

SECONDS, MEMORY = 10, 2**28

# What a number, a text or a table may turn into.
ODD: list[Any] = [None, True, False, 0, -1, 1.5, 1e308, 2**31, 2**40, 2**63, 10**400, "", "0", "O"]
ODD += [
    "NaN",
    "../../../etc/passwd",
    "/dev/zero",
    "uint8",
    "float64",
    "os.system",
    "é\ud800",
    [],
    {},
]
ODD += [[0], [[]], {"class_path": "os.system", "init_args": {}}, {"a": {"b": None}}, "x" * 10_000]
ODD += [float("nan"), float("inf"), [0] * 1000, "!!python/name:os.system", [[[[[[[[1]]]]]]]]]


class Auditor:
    """Lists what is run while it listens. Python's audit hooks stay: it can be deaf."""

    def __init__(self) -> None:
        self.listening = False
        self.heard: list[tuple[str, str]] = []
        sys.addaudithook(self.hear)

    def hear(self, event: str, details: Any) -> None:
        if self.listening and event in RUNNING:
            self.heard.append((event, str(details)[:200]))


AUDITOR = Auditor()


@dataclass
class Tally:
    """What became of mutants; the slowest in seconds, and the growth of the process in bytes."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    growth: int = 0


def broken(data: bytes, dice: random.Random) -> bytes:
    """A few bytes changed, cut out, doubled, put in, or the rest cut off."""
    out = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at, n = dice.randrange(len(out) + 1), dice.randint(1, 64)
        match dice.randrange(7):
            case 0 if at < len(out):
                out[at] ^= 1 << dice.randrange(8)
            case 1:
                del out[at : at + n]
            case 2:
                out[at:at] = out[at : at + n] * dice.choice([1, 1, 30])
            case 3:
                out[at:at] = dice.randbytes(dice.randint(1, 16))
            case 4:
                out[at : at + 1] = dice.choice(
                    [b"9", b"-", b"[", b"}", b'"', b"0000", b"\n", b": "]
                )
            case 5:
                out[at : at + 8] = struct.pack("<Q", dice.choice([0, 2**31, 2**40, 2**64 - 1]))
            case _ if dice.random() < 0.3:
                del out[at:]
    return bytes(out)


def altered(tree: Any, dice: random.Random) -> Any:
    """A copy of a tree with one node replaced, taken out, renamed or doubled."""
    if isinstance(tree, dict) and tree and dice.random() < 0.9:
        name = dice.choice(sorted(tree, key=str))
        how = dice.choice(["into"] * 5 + ["out", "rename", "more"])
        if how == "out":
            return {n: v for n, v in tree.items() if n != name}
        if how == "more":
            return {**tree, dice.choice(["other", "__class__", "seed"]): dice.choice(ODD)}
        new = {"rename": "other"}.get(how, name)
        return {
            (new if n == name else n): altered(v, dice) if (n, how) == (name, "into") else v
            for n, v in tree.items()
        }
    if isinstance(tree, list) and tree and dice.random() < 0.7:
        at = dice.randrange(len(tree))
        match dice.randrange(4):
            case 0:
                return tree[:at] + tree[at + 1 :]
            case 1:
                return tree[: at + 1] + tree[at:]
            case _:
                return [*tree[:at], altered(tree[at], dice), *tree[at + 1 :]]
    if type(tree) in (int, float) and dice.random() < 0.3:
        return -tree if dice.random() < 0.5 else tree * 10
    return dice.choice(ODD)


def fuzz(
    mutants: int,
    first: int,
    change: Callable[[random.Random], object],
    read: Callable[[], object],
    named: str,
    refusals: tuple[type[BaseException], ...] = (ValueError, OSError),
    said: Callable[[BaseException], str] = str,
    allowed: Collection[str] = (),
) -> Tally:
    """Reads mutants, which `change` puts in the place of the file, after the sound file.

    Args:
        mutants: how many.
        first: seed of the first.
        change: makes a mutant.
        read: reads it, and checks what it gives.
        named: what every refusal must name.
        refusals: what may be raised.
        said: gives a refusal's text.
        allowed: what may be run all the same.
    """
    read()  # imports all that is imported late
    AUDITOR.heard.clear()
    tally = Tally()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(first, first + mutants):
        change(random.Random(seed))
        begun = time.process_time()
        AUDITOR.listening = True
        try:
            read()
            tally.outcomes["read"] += 1
        except refusals as error:
            AUDITOR.listening = False
            tally.outcomes["refused"] += 1
            text = said(error)
            assert "\n" not in text.strip() and named in text and len(text) < 2100, (seed, text)
        finally:
            AUDITOR.listening = False
        tally.slowest = max(tally.slowest, time.process_time() - begun)
        heard = [event for event in AUDITOR.heard if event[0] not in allowed]
        assert heard == [], (seed, heard)
        AUDITOR.heard.clear()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tally.growth = (after - before) * 1024
    assert tally.slowest < SECONDS and tally.growth < MEMORY, tally
    print(tally)
    return tally
