"""The documented guide, in a user's file, in runs and in what makes their samples again."""

import numpy as np
from tiny_runs import arguments, records

from lightning_collapse import Run

GUIDE = '{"class_path": "mine.Halfway", "init_args": {"share": 0.25}}'


def done(outcome):
    status, out, err = outcome
    assert status == 0, err
    return out


def test_a_guide_of_ones_own_guides_a_run_and_what_is_made_of_it(documented, tmp_path):
    cli, path = documented("A guide of your own"), tmp_path / "own"
    done(cli("fit", *arguments(path, loop__guide=GUIDE)))
    told = records(path)
    assert [record["guide"] for record in told] == [None, "Halfway"]
    assert told[1]["guide_options"] == {"share": 0.25}
    assert told[1]["calls_per_sample"] == 2 * told[0]["calls_per_sample"]

    shard = Run(path).round(1) / "shard-00000.npy"
    whole = shard.read_bytes()
    shard.unlink()
    status, out, _ = cli("pool", "repair", path)
    assert status == 1 and "guide = mine.Halfway: is none of ClassifierFree" in out
    assert "its samples were made again" in done(
        cli("pool", "repair", path, "--trust_class", "mine.Halfway")
    )
    assert shard.read_bytes() == whole

    checkpoint = Run(path).checkpoint(1)
    words = ("--ckpt", checkpoint, "--seeds", "0-7", "--format", "store", "--device", "cpu")
    done(cli("generate", *words, "--out", tmp_path / "all", "--guide", GUIDE))
    one = '{"class_path": "mine.Halfway", "init_args": {"share": 1.0}}'
    done(cli("generate", *words, "--out", tmp_path / "first", "--guide", one))
    of_first = ("--ckpt", Run(path).checkpoint(0), *words[2:])
    done(cli("generate", *of_first, "--out", tmp_path / "plain"))
    rows = {n: np.load(tmp_path / n / "shard-00000.npy") for n in ("all", "first", "plain")}
    # All the way to round 0, its network samples by itself.
    assert np.array_equal(rows["first"], rows["plain"])
    assert not np.allclose(rows["all"], rows["plain"])


def test_a_guide_that_takes_no_such_call_stops_the_run_in_one_line(documented, tmp_path):
    cli, path = documented("A guide of your own"), tmp_path / "own"
    wrong = '{"class_path": "mine.Halfway", "init_args": {"shar": 0.25}}'
    status, _, err = cli("fit", *arguments(path, loop__guide=wrong))
    assert status == 2 and len(err.splitlines()) == 1 and "shar" in err
    assert not (path / "pool").exists()
