"""The log that a user would keep by hand."""

import json

import pytest
from records import write_run
from studies import columns

from lightning_collapse.report.log import append_log


def test_an_entry_tells_what_was_run_and_what_came_of_it(tmp_path):
    run = write_run(tmp_path / "my_run", columns(2.0, 0))
    assert append_log(tmp_path / "log.md", [run]) == ["my_run"]
    text = (tmp_path / "log.md").read_text()
    assert "· my_run\n" in text and "Replace(synthetic_fraction=1.0); N = 1000" in text
    assert "fd_pixels 0.6 → 6.6 (floor 0.4)" in text
    assert text.endswith("- Notes:\n")


def test_what_else_is_in_the_file_stays(tmp_path):
    log = tmp_path / "log.md"
    log.write_text("# Mine\n\nWhat I thought.")
    append_log(log, [write_run(tmp_path / "run", columns(2.0, 0))])
    log.write_text(log.read_text() + "- looks blurred\n")
    before = log.read_text()
    assert before.startswith("# Mine\n\nWhat I thought.\n\n## ")
    assert append_log(log, [write_run(tmp_path / "other", columns(1.0, 0))]) == ["other"]
    assert log.read_text().startswith(before)


def test_a_run_is_never_told_twice_but_again_when_it_went_on(tmp_path):
    log, run = tmp_path / "log.md", write_run(tmp_path / "run", columns(2.0, 0))
    append_log(log, [run])
    before = log.read_text()
    assert append_log(log, [run]) == [] and log.read_text() == before
    last = run.records[-1] | {"round": 4, "fd_pixels": 9.0}
    run.table.write_text(run.table.read_text() + json.dumps(last) + "\n")
    assert append_log(log, [run]) == ["run"]
    assert "round 0 → 4: fd_pixels 0.6 → 9" in log.read_text()


def test_a_file_that_is_no_text_is_left_alone(tmp_path):
    log = tmp_path / "log.md"
    log.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is no text"):
        append_log(log, [write_run(tmp_path / "run", columns(2.0, 0))])
    assert log.read_bytes() == b"\xff\xfe\x00"
