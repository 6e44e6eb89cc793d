"""The share of the demo's time that is neither training nor sampling.

    python benchmarks/demo_overhead.py

Runs the demo's two commands as the Makefile does, at once and on a thread each, in a temporary
folder, and compares each one's time, start-up included, with the seconds that its records give to
training and sampling.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    makefile = (ROOT / "Makefile").read_text()
    options = re.search(r"^DEMO := (.*)$", makefile, flags=re.MULTILINE)[1].split()
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        running = {name: launch(name, Path(folder), options) for name in ("replace", "accumulate")}
        while running:
            time.sleep(0.1)
            for name in [name for name, run in running.items() if run.poll() is not None]:
                total = time.monotonic() - start
                del running[name]
                share = 1 - working_seconds(Path(folder) / name) / total
                print(f"{name}: neither training nor sampling {share:.1%} of {total:.0f} s")


def launch(name: str, folder: Path, options: list[str]) -> subprocess.Popen[bytes]:
    command = ["fit", "--config", f"configs/digits_{name}.yaml", "--run", str(folder / name)]
    return subprocess.Popen(
        [sys.executable, "-m", "lightning_collapse", *command, *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def working_seconds(run: Path) -> float:
    records = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    return sum(record["seconds_train"] + record["seconds_sample"] for record in records)


if __name__ == "__main__":
    main()
