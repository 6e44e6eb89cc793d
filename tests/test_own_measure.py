"""A measure from a user's own file in `fit`, `measure` and `evaluate`, by its class path."""

import json

import pytest
from tiny_runs import arguments, records

COLUMNS = ("radius_points", "radius_points_floor", "radius_points_step")


@pytest.fixture
def command(documented):
    cli = documented("A measure of your own")

    def call(*words):
        status, _, err = cli(*words)
        assert status == 0, err

    return call


def test_a_measure_of_ones_own_works_in_fit_afterwards_and_beside_a_reference(command, tmp_path):
    command("fit", *arguments(tmp_path / "a", loop__measures="[mine.Radius]"))
    command("fit", *arguments(tmp_path / "b"))
    command("measure", tmp_path / "b", "--measures", "[mine.Radius]")
    own, later = records(tmp_path / "a"), records(tmp_path / "b")
    for record, other in zip(own, later, strict=True):
        assert [record[name] for name in COLUMNS] == [other[name] for name in COLUMNS]
    assert own[1]["radius_points"] > 0 < own[1]["radius_points_floor"]
    assert own[0]["radius_points_step"] is None and own[1]["radius_points_step"] > 0
    assert own[1]["measured_rows"]["Radius"] == 16
    words = (tmp_path / "a/pool/0001", "--reference", tmp_path / "a/pool/real")
    command("evaluate", *words, "--measures", "[mine.Radius]", "--json", tmp_path / "out.json")
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["radius_points"] > 0 and told["measured_rows"]["Radius"] == 48
