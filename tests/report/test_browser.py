"""The page in a real browser: light, dark, on a phone; with the pointer and the keyboard."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from studies import write_study

from lightning_collapse.analysis.conditions import find_runs
from lightning_collapse.report.comparison import compare
from lightning_collapse.report.page import page

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
SCREENS = {"light": ("light", 1100), "dark": ("dark", 1100), "phone": ("light", 390)}
QUIET = ["--headless", "--no-sandbox", "--no-first-run", "--enable-logging=stderr"] + [
    f"--disable-{what}"
    for what in ("gpu", "background-networking", "sync", "component-update", "quic")
]

pytestmark = pytest.mark.skipif(not BROWSER, reason="there is no chromium here")


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What a browser finds on each screen, and what it had to say."""
    folder = tmp_path_factory.mktemp("browser")
    text = page(compare(find_runs([write_study(folder / "study")])), "a study")
    frames = "".join(
        f'<iframe title="{name}" width="{width}" height="900" style="color-scheme:{scheme}" '
        f'srcdoc="{html.escape(text)}"></iframe>'
        for name, (scheme, width) in SCREENS.items()
    )
    script = (Path(__file__).parent / "browser.js").read_text()
    (folder / "all.html").write_text(
        f"<!doctype html><meta charset=utf-8><body>{frames}<script>{script}</script>"
    )
    done = subprocess.run(
        [BROWSER, *QUIET, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000",
         "--dump-dom", (folder / "all.html").as_uri()],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
    assert found, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found[1])), console


@pytest.fixture(params=list(SCREENS))
def screen(request, seen):
    return seen[0][request.param]


def test_it_says_nothing_on_the_console_and_asks_for_nothing(seen):
    told, console = seen
    assert console == []
    assert all(one["requests"] == [] for one in told.values())


def test_nothing_is_cut_off_or_wider_than_the_screen(screen):
    assert screen["clipped"] == []
    assert screen["overflow"] <= 0
    assert screen["inside"]


def test_text_and_lines_can_be_seen(screen):
    assert screen["line"] >= 3
    assert screen["text"] >= 4.5


def test_dark_is_dark_and_a_phone_is_narrow(seen):
    told, _ = seen
    assert told["light"]["back"] == "rgb(255, 255, 255)" != told["dark"]["back"]
    assert told["phone"]["width"] <= 390 < told["light"]["width"]


def test_the_pointer_is_told_the_numbers(screen):
    said = screen["hover"].split("\n")
    # Replace: 0.6 + 0.01 s + 2 · 2 (1 + 0.05 s), s = 0, 1, 2.
    assert said[0] == "round 2" and "Replace: 4.81 (4.6 to 5.02)" in said
    assert "held-out real rows 0.4" in said and len(said) == 5
    assert screen["left"] == 0


def test_a_switch_hides_a_condition_everywhere(screen):
    assert screen["series"] == screen["hidden"] == screen["shown"] > 10
    assert len(screen["without"].split("\n")) == 4


def test_the_keyboard_does_what_the_pointer_does(screen):
    assert screen["focus"]
    # Three switches, and the figures over rounds.
    assert screen["reached"] >= 3 + 5
    assert screen["keys"].startswith("round 1\n")
    assert screen["escaped"] == 0
