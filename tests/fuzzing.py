"""Mutants of files, and what becomes of them: refused in one line, or read as something sound.

Whatever a mutant is, reading it runs nothing, and takes little time and little memory.
"""

import codecs
import contextlib
import io
import json
import random
import resource
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lightning_collapse.data.store import manifest
from lightning_collapse.runs.checkpoints import write_checkpoint

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


@dataclass
class Reader:
    """One kind of file: how mutants get in its place, how it is read, what may become of it."""

    change: Callable[[random.Random], object]
    """Puts a mutant in the place of the sound file."""
    read: Callable[[], object]
    """Reads it, and checks what it gives."""
    named: str
    """What every refusal must name."""
    refusals: tuple[type[BaseException], ...] = (ValueError, OSError)
    """What may be raised."""
    said: Callable[[BaseException], str] = str
    """Gives a refusal's text."""
    allowed: Collection[str] = ()
    """What may be run all the same."""

    def fuzz(self, mutants: int) -> Tally:
        """Reads the sound file, and then that many mutants."""
        self.read()  # imports all that is imported late
        AUDITOR.heard.clear()
        tally = Tally()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for seed in range(mutants, 2 * mutants):
            self.change(random.Random(seed))
            begun = time.process_time()
            tally.outcomes[self._outcome(seed)] += 1
            tally.slowest = max(tally.slowest, time.process_time() - begun)
            heard = [event for event in AUDITOR.heard if event[0] not in self.allowed]
            assert heard == [], (seed, heard)
            AUDITOR.heard.clear()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tally.growth = (after - before) * 1024
        assert tally.slowest < SECONDS and tally.growth < MEMORY, tally
        print(tally)
        return tally

    def _outcome(self, seed: int) -> str:
        AUDITOR.listening = True
        try:
            self.read()
        except self.refusals as error:
            AUDITOR.listening = False
            text = self.said(error)
            assert "\n" not in text.strip() and self.named in text and len(text) < 2100, (
                seed,
                text,
            )
            return "refused"
        finally:
            AUDITOR.listening = False
        return "read"


def of(
    path: Path,
    mutant: Callable[[random.Random], bytes],
    read: Callable[[], object],
    **options: Any,
) -> Reader:
    """A reader of one file, refused by its name."""
    change = lambda dice: path.write_bytes(mutant(dice))  # noqa: E731
    return Reader(change, read, options.pop("named", path.name), **options)


def either(data: bytes, tree: Any, encode: Callable[[Any], bytes]) -> Callable[..., bytes]:
    """Mutants of bytes and of values, in turn."""
    return lambda dice: broken(data, dice) if dice.random() < 0.4 else encode(altered(tree, dice))


def dumped(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def sealed_manifest(fields: Any) -> bytes:
    if isinstance(fields, dict):
        with contextlib.suppress(ValueError):  # infinity, which no seal takes
            return manifest.sealed(fields)
    return dumped(fields)


def checkpoint_bytes(tree: Any) -> bytes:
    buffer = io.BytesIO()
    write_checkpoint(tree, buffer)
    return buffer.getvalue()


SOME_OR_THOUSANDS = pytest.mark.parametrize(
    "mutants",
    [pytest.param(25, id="some"), pytest.param(3000, id="thousands", marks=pytest.mark.slow)],
)


def readers(*makes: Callable[[Path], Reader]) -> pytest.MarkDecorator:
    """Parametrises a test by functions that make a `Reader` in a copy of a finished run."""
    return pytest.mark.parametrize("make", makes, ids=lambda make: make.__name__)
