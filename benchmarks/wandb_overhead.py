"""Training with W&B gone, offline or off, side by side: what it costs in steps per second.

    python benchmarks/wandb_overhead.py

Runs the points' configuration in turns, three times each way, and compares the seconds that the
records give to training, and from the start of the command to the end.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
OPTIONS = ["--config", str(ROOT / "configs/points_replace.yaml"), "--trainer.accelerator", "cpu"]
OPTIONS += ["--trainer.max_epochs", "3", "--data.images_per_round", "32000"]
WAYS = ("off", "offline", "black hole")


def main() -> None:
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    with socket.socket() as hole, tempfile.TemporaryDirectory() as folder:
        hole.bind(("127.0.0.1", 0))
        hole.listen(64)
        url = f"http://127.0.0.1:{hole.getsockname()[1]}"
        for turn in range(3):
            for way in WAYS:
                seconds[way].append(run(way, Path(folder) / f"{way}-{turn}", url))
    training, whole = (
        {w: statistics.median(s[i] for s in seconds[w]) for w in WAYS} for i in (0, 1)
    )
    for way in WAYS[1:]:
        print(
            f"{way}: training {training['off'] / training[way]:.2f} of the steps per second "
            f"without W&B, the whole command {whole[way] / whole['off']:.2f} of its time"
        )


def run(way: str, folder: Path, url: str) -> tuple[float, float]:
    """Gives the seconds of training, and of the whole command."""
    account = {"WANDB_MODE": "online", "WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": url}
    options = ["--trainer.logger", "false"] if way == "off" else []
    start = time.monotonic()
    subprocess.run(
        [
            sys.executable,
            "-m",
            "lightning_collapse",
            "fit",
            *OPTIONS,
            "--run",
            str(folder),
            *options,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", **(account if way == "black hole" else {})},
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    records = map(json.loads, (folder / "rounds.jsonl").read_text().splitlines())
    return sum(r["seconds_train"] for r in records), time.monotonic() - start


if __name__ == "__main__":
    main()
