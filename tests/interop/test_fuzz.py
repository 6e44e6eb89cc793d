"""Thousands of damaged pickles: nothing is run, and time and memory stay bounded.

The format has no checksum, so that some mutants load, with other numbers: hence the SHA-256 that
`convert` prints. What a mutant may never do is run something, hang, swell or raise a traceback.
"""

import gc
import pickletools
import random
import sys
import time
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
import torch
from lookalikes import LookAlike

from lightning_collapse.interop import pickles
from lightning_collapse.interop.nvidia import read_network_pickle
from lightning_collapse.networks.constructor import build_denoiser

# What Python tells its auditors before it runs something or touches the system.
RUNNING = {"exec", "compile", "import", "os.system", "os.exec", "os.posix_spawn", "os.fork"}
RUNNING |= {"subprocess.Popen", "pickle.find_class", "ctypes.dlopen", "socket.connect", "marshal"}


class Auditor:
    """Counts what is run while it listens. Python's audit hooks stay: it can be deaf."""

    def __init__(self):
        self.listening = False
        self.heard = []
        sys.addaudithook(self.hear)

    def hear(self, event, details):
        if self.listening and event in RUNNING:
            self.heard.append((event, str(details)[:200]))


@pytest.fixture(scope="module")
def auditor():
    return Auditor()


def opcode_positions(data):
    """Where opcodes are: in the pickle, and in the streams within its byte strings."""
    positions = []
    for opcode, argument, position in pickletools.genops(data):
        positions.append(position)
        if opcode.name == "BINBYTES":
            start = position + 5
            for _ in range(5):
                inner = [p for _, _, p in pickletools.genops(argument)]
                positions += [start + p for p in inner]
                start += inner[-1] + 1
                argument = argument[inner[-1] + 1 :]
    return positions


def mutant(data, positions, rng):
    """Gives a kind of damage and the damaged data."""
    kind = rng.choice(["truncate", "opcode", "opcodes", "bit", "cut", "repeat", "swap", "insert"])
    if kind == "truncate":
        return kind, data[: rng.randrange(len(data))]
    changed = bytearray(data)
    known = sorted(pickles._OPCODES)
    if kind in ("opcode", "opcodes"):
        for position in rng.sample(positions, 1 if kind == "opcode" else 20):
            changed[position] = rng.choice(known) if rng.random() < 0.7 else rng.randrange(256)
    elif kind == "bit":
        for _ in range(rng.choice([1, 1, 8, 64])):
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    else:
        first, last = sorted(rng.sample(positions, 2))
        last = min(last, first + rng.choice([10, 100, 10_000]))
        piece = data[first:last]
        target = rng.choice(positions)
        if kind == "cut":
            del changed[first:last]
        elif kind == "repeat":
            changed[last:last] = piece * rng.choice([1, 3, 50])
        elif kind == "swap":
            changed[target : target + len(piece)] = piece
        else:
            operand = rng.randbytes(rng.choice([0, 1, 2, 4, 8]))
            changed[target:target] = bytes([rng.choice(known)]) + operand
    return kind, bytes(changed)


@dataclass
class Tally:
    """What became of mutants; the slowest in seconds, the largest in sizes of its file."""

    outcomes: Counter = field(default_factory=Counter)
    slowest: float = 0.0
    largest: float = 0.0


@cache
def original():
    look = LookAlike(canary=Path("fuzz-canary"))
    data = look.bytes()
    return data, opcode_positions(data), look.network.state_dict(), look.init_kwargs


def outcome(path):
    """Does what the command does before it writes."""
    try:
        network = read_network_pickle(path)
        build_denoiser(network.init_kwargs, network.state_dict)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1
        return "refused"
    _, _, weights, init_kwargs = original()
    same = all(torch.equal(network.state_dict[name], weights[name]) for name in weights)
    return "identical" if same and network.init_kwargs == init_kwargs else "other numbers"


def fuzz(seeds, folder, auditor):
    data, positions, *_ = original()
    path = folder / "edm.pkl"
    path.write_bytes(data)
    assert outcome(path) == "identical"  # and all that is imported late is imported
    tally = Tally()
    for seed in seeds:
        kind, changed = mutant(data, positions, random.Random(seed))
        path.write_bytes(changed)
        tracemalloc.start()
        begun = time.process_time()
        auditor.listening = True
        try:
            result = outcome(path)
        finally:
            auditor.listening = False
        tally.slowest = max(tally.slowest, time.process_time() - begun)
        size = max(len(data), len(changed))  # small files have a fixed allowance
        tally.largest = max(tally.largest, tracemalloc.get_traced_memory()[1] / size)
        tracemalloc.stop()
        assert auditor.heard == [], (seed, kind)
        tally.outcomes[kind, result] += 1
        tally.outcomes[result] += 1
    return tally


def check(tally, folder, mutants):
    gc.collect()
    print(tally)
    assert not (folder / "fuzz-canary").exists()
    assert not Path("fuzz-canary").exists()
    found = {k: v for k, v in tally.outcomes.items() if isinstance(k, str)}
    assert sum(found.values()) == mutants
    assert found["refused"] > 0.5 * mutants
    assert tally.slowest < 10
    assert tally.largest < 10


def test_some_mutants(tmp_path, auditor):
    check(fuzz(range(200), tmp_path, auditor), tmp_path, 200)


@pytest.mark.slow
def test_thousands_of_mutants(tmp_path, auditor):
    check(fuzz(range(1000, 7000), tmp_path, auditor), tmp_path, 6000)


def test_the_auditor_hears(auditor):
    auditor.listening = True
    exec("1 + 1")
    auditor.listening = False
    assert auditor.heard
    auditor.heard.clear()


def test_each_kind_of_damage_is_some():
    data, positions, *_ = original()
    kinds = {}
    for seed in range(100):
        kind, changed = mutant(data, positions, random.Random(seed))
        kinds.setdefault(kind, []).append(changed != data)
    assert len(kinds) == 8
    assert all(any(differs) for differs in kinds.values())
