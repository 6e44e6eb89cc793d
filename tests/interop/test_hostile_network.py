"""Mutants of converted networks."""

import json
import random
from pathlib import Path

from fuzzing import SOME_OR_THOUSANDS, Reader, altered, broken, of, readers
from safetensors.torch import save

from lightning_collapse.interop.converted import Origin, read_converted, write_converted
from lightning_collapse.interop.denoisers import load_denoiser


def converted_network(folder: Path) -> Reader:
    path = folder / "network.safetensors"
    arguments = {"img_resolution": 8, "img_channels": 1, "model_type": "SongUNet"}
    arguments |= {
        "model_channels": 8,
        "channel_mult": [1],
        "num_blocks": 1,
        "attn_resolutions": [],
    }
    from lightning_collapse.networks.unet import nvidia_network

    weights = nvidia_network(**arguments).state_dict()
    write_converted(path, arguments, weights, Origin("EDMPrecond", "0" * 64, "0" * 64))
    data = path.read_bytes()
    _, weights = read_converted(path)

    def mutant(dice: random.Random) -> bytes:
        if dice.random() < 0.4:
            return broken(data[:3000], dice) + data[3000:]
        named = json.dumps(altered(arguments, dice))
        return save(weights, {"format_version": "1", "network": named})

    return of(path, mutant, lambda: load_denoiser(path))


@readers(converted_network)
@SOME_OR_THOUSANDS
def test_mutants_are_refused_in_one_line_or_sound(tmp_path, make, mutants):
    tally = make(tmp_path).fuzz(mutants)
    assert tally.outcomes["refused"] > 0
