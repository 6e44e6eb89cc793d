import csv
import json

import pytest

from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.records import (
    distance_name,
    read_records,
    table_header,
    table_line,
    write_records,
)


def record(round, **more):
    return {
        "round": round,
        "regime": "Replace",
        "regime_options": {"synthetic_fraction": 1.0},
        "n_real": 0,
        "n_synthetic": 50,
        "synthetic_ratio": None,
        "train_loss": 0.25,
        "val_loss": 0.5,
        "mean": -0.125,
        "variance": 0.2,
        "fd_n": 20,
        "fd_floor_extrapolated": False,
        "fd_points": 1.5,
        "fd_points_floor": 0.75,
        **more,
    }


def test_records_come_back(tmp_path):
    records = [record(0), record(1), record(2)]
    write_records(Run(tmp_path), records)
    assert read_records(Run(tmp_path)) == records


def test_one_line_a_round_for_people_and_for_spreadsheets(tmp_path):
    write_records(Run(tmp_path), [record(0), record(1, note="a, b")])
    lines = (tmp_path / "rounds.jsonl").read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == [0, 1]
    with open(tmp_path / "rounds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["round"] for row in rows] == ["0", "1"]
    assert rows[0]["variance"] == "0.2"
    assert rows[0]["synthetic_ratio"] == ""
    assert [row["note"] for row in rows] == ["", "a, b"]


def test_a_run_may_go_on_with_other_columns(tmp_path):
    """A later version may record more, or less, than the one that began the run."""
    records = [record(0), record(1, extra=3), {"round": 2}]
    write_records(Run(tmp_path), records)
    assert read_records(Run(tmp_path)) == records


def test_rewriting_replaces_both_files(tmp_path):
    write_records(Run(tmp_path), [record(0), record(1)])
    write_records(Run(tmp_path), [record(0)])
    assert read_records(Run(tmp_path)) == [record(0)]
    assert len((tmp_path / "rounds.csv").read_text().splitlines()) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rounds.csv", "rounds.jsonl"]


def test_a_run_without_a_finished_round_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"rounds\.jsonl: no such file; has the run"):
        read_records(Run(tmp_path))


def test_the_table_has_its_numbers_under_their_names():
    names = table_header("fd_points").split()
    cells = dict(zip(names, table_line(record(3)).split(), strict=True))
    assert cells == {
        "round": "3",
        "n_real": "0",
        "n_synthetic": "50",
        "train_loss": "0.2500",
        "val_loss": "0.5000",
        "mean": "-0.1250",
        "variance": "0.2000",
        "fd_points": "1.500",
        "floor": "0.7500",
    }
    assert len(table_header("fd_points")) == len(table_line(record(3)))


def test_a_collapsed_round_says_so():
    assert table_line(record(0, collapsed="constant")).endswith("  0.7500  collapsed: constant")
    assert table_line(record(0, collapsed=None)) == table_line(record(0))


def test_small_distances_keep_their_digits():
    small = record(0, fd_points=8.2e-5, fd_points_floor=6.34567e-5)
    assert table_line(small).split()[-2:] == ["8.200e-05", "6.346e-05"]


def test_options_are_json_in_the_table_on_disk(tmp_path):
    write_records(Run(tmp_path), [record(0)])
    (row,) = csv.DictReader((tmp_path / "rounds.csv").read_text().splitlines())
    assert json.loads(row["regime_options"]) == {"synthetic_fraction": 1.0}


def test_what_was_not_measured_is_a_dash():
    assert table_line(record(0, train_loss=None)).split()[3] == "-"


@pytest.mark.parametrize("features", ["pixels", "points", "pixels8"])
def test_the_distance_is_the_one_that_has_a_floor(features):
    named = {f"fd_{features}": 1.0, f"fd_{features}_floor": 0.5}
    assert distance_name({"fd_n": 3, "fd_floor_extrapolated": True, **named}) == f"fd_{features}"
