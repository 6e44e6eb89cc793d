import subprocess
import sys

import numpy as np
import pytest
import torch

from lightning_collapse.seeds import KeyedNormal, bits_at, generator, key


def normals(indices, shape=(3, 5), draws=2):
    """Several draws (draws, B, *shape) of the rows with these indices."""
    normal = KeyedNormal([generator(7, "sample", 2, i) for i in indices])
    return torch.stack([normal(shape) for _ in range(draws)])


def test_keys_of_all_paths_differ():
    paths = [(), ("a",), ("a", 1), ("a1",), ("a", 1, 2), ("a", 12), ("a", "1"), (1, "a")]
    keys = {key(seed, *path) for seed in (0, 1, -1) for path in paths}
    keys |= {key(0, "sample", r, i) for r in range(20) for i in range(200)}
    assert len(keys) == 3 * len(paths) + 20 * 200
    assert all(0 <= k < 2**63 for k in keys)


def test_keys_are_the_same_in_another_process():
    """Python's own `hash` is not: it is salted anew in every process."""
    code = "from lightning_collapse.seeds import key; print(key(5, 'sample', 3, 1))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == key(5, "sample", 3, 1)


def test_a_generator_is_fresh_and_leaves_the_global_one_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, again = (torch.rand(4, generator=generator(0, "order", 1)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)
    assert generator(0, "order").initial_seed() == key(0, "order")


@pytest.mark.parametrize("shape", [(2,), (3, 5), (1, 8, 8)])
def test_a_rows_numbers_do_not_depend_on_its_batch(shape):
    whole = normals(range(8), shape)
    for batch in ([5], [7, 0, 5], range(4, 8)):
        assert torch.equal(normals(batch, shape), whole[:, list(batch)])


def test_draws_follow_each_other():
    first, second = normals(range(4))
    assert not torch.isclose(first, second).any()


def test_keyed_numbers_are_independent_unit_normals():
    """Neighbouring keys must not give correlated numbers."""
    x = normals(range(2000), (4,), draws=1)[0].double()
    n = x.numel()
    assert abs(float(x.mean())) < 4 / n**0.5
    assert abs(float(x.var()) - 1) < 4 * (2 / n) ** 0.5
    assert abs(float((x[1:] * x[:-1]).mean())) < 4 / n**0.5


def test_like_takes_shape_and_type():
    x = torch.zeros(3, 2, 4, dtype=torch.float64)
    normal = KeyedNormal([generator(7, "sample", 2, i) for i in range(3)])
    out = normal.like(x)
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    assert torch.equal(out, normals(range(3), (2, 4))[0].double())


def test_bits_are_splitmix64s():
    """The first outputs published for the seed 1234567; any place can be asked for alone."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    stream, places = np.array([1234567], np.uint64), np.arange(3, dtype=np.uint64)
    assert bits_at(stream, places).tolist() == published
    assert bits_at(stream, places[2:]).tolist() == published[2:]
