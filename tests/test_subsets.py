import numpy as np
import pytest

from lightning_collapse.subsets import choose


@pytest.mark.parametrize(
    ("total", "wanted"), [(5, 0), (5, 5), (10, 3), (10, 8), (10, 2), (50, 12)]
)
def test_all_sets_of_places_are_as_likely(total, wanted):
    seeds = 4000
    chosen = choose(total, wanted, range(seeds), "test", 1)
    assert chosen.shape == (seeds, wanted)
    taken = np.zeros((seeds, total))
    np.put_along_axis(taken, chosen, 1, 1)
    assert (taken.sum(1) == wanted).all()
    share = wanted / total
    pairs = taken.T @ taken / seeds
    wanted_pairs = np.full((total, total), share * (wanted - 1) / (total - 1))
    np.fill_diagonal(wanted_pairs, share)
    error = np.sqrt(wanted_pairs * (1 - wanted_pairs) / seeds)
    assert (np.abs(pairs - wanted_pairs) <= 4.5 * error).all()


def test_the_places_of_a_seed_do_not_depend_on_the_others():
    """In a crowd, where places must be drawn anew several times, and far from one."""
    for total in (201, 900, 10_000):
        together = choose(total, 200, range(30), "test", 4)
        assert all(len(np.unique(places)) == 200 for places in together)
        assert together.min() >= 0
        assert together.max() < total
        for seed in (0, 17, 29):
            alone = choose(total, 200, [seed], "test", 4)
            assert alone.tobytes() == together[seed].tobytes()


def test_places_of_a_crowd_come_in_order_whatever_the_processor():
    """NumPy partitions by the processor's own vector instructions, in an order of their own."""
    for total in (1000, 2800):
        assert (np.diff(choose(total, 700, range(20), "test", 2)) > 0).all()


def test_purpose_and_round_key_the_draw():
    draws = [choose(10**6, 50, [0], *where) for where in (("a", 1), ("b", 1), ("a", 2))]
    assert len({draw.tobytes() for draw in draws}) == 3
    assert choose(10**6, 50, [0], "a", 1).tobytes() == draws[0].tobytes()
