"""A driver as a process of its own, of stubs or real runs: `python driver.py PLAN SLOTS [fit]`."""

import sys
from pathlib import Path

from lightning_collapse.sweeps.local import Driver, slots
from lightning_collapse.sweeps.plan import Plan
from lightning_collapse.sweeps.study import Checked, Study

STUB = (sys.executable, "-S", "-E", str(Path(__file__).with_name("stub.py")))


def check(words):
    options = dict(zip(words[1::2], words[2::2], strict=True))
    seed = options.get("--seed_everything", "")
    rounds = int(options["--trainer.max_epochs"])
    told = {name: value for name, value in options.items() if name not in ("--run", "--share")}
    return Checked(f"{hash_of(told):08x}", f"round zero of {seed}", rounds)


def hash_of(told):
    import zlib

    return zlib.crc32(repr(sorted(told.items())).encode())


def study(plan: Path) -> Study:
    return Study.of(Plan.read(plan), check)


if __name__ == "__main__":
    made = study(Path(sys.argv[1]))
    made.open()
    program = () if sys.argv[3:] else (STUB,)
    sys.exit(Driver(made, made.runs, slots(sys.argv[2]), *program).run())
