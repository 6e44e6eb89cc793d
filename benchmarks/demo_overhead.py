"""The share of the demo's time that is neither training nor sampling.

    python benchmarks/demo_overhead.py

Runs the demo's commands as the Makefile has them, in a temporary folder, and compares the time
they take, start-up included, with the seconds that their records give to training and sampling.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    makefile = (ROOT / "Makefile").read_text()
    options = re.search(r"^DEMO := (.*)$", makefile, flags=re.MULTILINE)[1]
    makefile = makefile.replace("$(DEMO)", options)
    commands = re.findall(
        r"\$\(BIN\)/lightning-collapse (fit .*) --run runs/demo_(\w+)(.*)", makefile
    )
    working = total = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for before, name, after in commands:
            run = Path(folder) / name
            arguments = [*before.split(), "--run", str(run), *after.split()]
            start = time.monotonic()
            subprocess.run(
                [sys.executable, "-m", "lightning_collapse", *arguments], cwd=ROOT, check=True
            )
            total += time.monotonic() - start
            lines = (run / "rounds.jsonl").read_text().splitlines()
            records = [json.loads(line) for line in lines]
            working += sum(r["seconds_train"] + r["seconds_sample"] for r in records)
    print(f"neither training nor sampling: {1 - working / total:.1%} of {total:.0f} s")


if __name__ == "__main__":
    main()
