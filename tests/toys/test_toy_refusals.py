"""What toys refuse: in one line, before anything is computed or a folder is made."""

import pytest

REFUSED = {
    "gaussian --lambdas 1.5": "lambdas = 1.5: must be numbers in [0, 1]",
    "gaussian --lambdas 0.1;0.2": "lambdas = 0.1;0.2: must be numbers separated by commas",
    "gaussian --lambdas nan": "lambdas = nan: must be numbers in [0, 1]",
    "gaussian --lambdas 0.1,0.1": "lambdas = 0.1,0.1: must be distinct",
    "gaussian --regime Replce": "regime = Replce: must be one of Replace, Turnover",
    "gaussian --regime Augment --lambdas 1": "lambdas = 1: Augment keeps all real rows",
    "gaussian --n 1": "n = 1: must be at least 2",
    "gaussian --rounds 0": "rounds = 0: must be at least 1",
    "gaussian --replicas 0": "replicas = 0: must be at least 1",
    "gaussian --dim 0": "dim = 0: must be at least 1",
    "gaussian --variance 0": "variance = 0: must be a number above 0",
    "gaussian --n many": "n = many: must be a whole number",
    "gaussian --regime Turnover --n 1000000000000": "n = 1000000000000: with 5000 rounds",
    "gaussian --rounds 1000000000": "replicas = 200: with 1000000000 rounds needs",
    "gaussian --replicas 1000000000": "replicas = 1000000000: with 5000 rounds needs",
    "gaussian --dim 100000": "dim = 100000: with 5000 rounds needs",
    "discrete --categories 1": "categories = 1: must be at least 2",
    "discrete --start zipf --exponent 0": "exponent = 0: must be a number above 0",
    "discrete --shift -1": "shift = -1: must be a number above -1",
    "discrete --regime Turnover --sizes poisson": "sizes = poisson: Turnover draws rows",
    "discrete --replicas 1000000000": "replicas = 1000000000: with 200 rounds needs",
    "discrete --lambdas 2": "lambdas = 2: must be numbers in [0, 1]",
    "discrete --curator=ByDensty --lambdas=1 --rounds=2": "curator = ByDensty: ",
    "discrete --curator=ByDensity --curator.keep=2 --lambdas=1 --rounds=2": "keep = 2.0: must be "
    "a share in (0, 1]",
    "discrete --curator=ByDensity --curator.keep=0.01 --lambdas=1 --rounds=2": "curator = "
    "ByDensity(keep=0.01",
    "discrete --curator=ByEntropy --sizes=poisson --lambdas=1 --rounds=2": "sizes = poisson: a "
    "curator chooses among",
    "kde --modes 11": "dim = 10: must be at least 11",
    "kde --bandwidth 0": "bandwidth = 0: must be a number above 0",
    "kde --std -1": "std = -1: must be a number above 0",
    "kde --replicas 1000000000": "replicas = 1000000000: with 20 rounds needs",
    "gmm --lambdas 0.5,1.5": "lambdas = 1.5: must be numbers in [0, 1]",
    "gmm --lambdas a": "lambdas = a: must be numbers separated by commas",
    "gmm --regime Replase": "regime = Replase: must be one of Replace, ",
    "gmm --n 1": "n = 1: must be at least 2",
    "gmm --n 4 --components 5": "n = 4: must be at least the number of components, 5",
    "gmm --components 0": "components = 0: must be at least 1",
    "gmm --rounds 0": "rounds = 0: must be at least 1",
    "gmm --replicas 0": "replicas = 0: must be at least 1",
    "gmm --threshold 0": "threshold = 0: must be a number above 0",
    "gmm --threshold -1": "threshold = -1: must be a number above 0",
    "gmm --reg_covar -1": "reg_covar = -1: must be at least 0",
    "gmm --init cold": "init = cold: must be one of kmeans, warm",
    "gmm --lamdas 1": "lamdas: unknown key; did you mean lambdas?",
    "gmm --n x": "n = x: must be a whole number",
    "diffusion --lambdas=2": "lambdas = 2: must be numbers in [0, 1]",
    "diffusion --regime=Nothing": "regime = Nothing: must be one of ",
    "diffusion --n=1": "n = 1: must be at least 2",
    "diffusion --n=2": "n = 2: must be at least the number of components, 3",
    "diffusion --batch_size=0": "batch_size = 0: must be at least 1",
    "diffusion --width=0": "width = 0: must be at least 1",
    "diffusion --steps=0": "steps = 0: must be at least 1",
    "diffusion --images_per_round=0": "images_per_round = 0: must be at least 1",
    "diffusion --threshold=0": "threshold = 0: must be a number above 0",
    "diffusion --regime=AccumulateSubsample --lambdas=0.01 --n=100": "lambdas = 0.01: makes 1 "
    "samples a round, must make at least 3; raise it, or n",
    "gmm-samples --n 0": "n = 0: must be at least 2",
    "gmm-samples --samples 0": "samples = 0: must be at least 2",
    "gmm-samples --components 0": "components = 0: must be at least 1",
    "regression --regime Turnover --lambdas 0.5": "regime = Turnover: draws rows by chance; here "
    "it must take rows by position",
    "regression --regime Replace,Acumulate": "regime = Acumulate: must be one of",
    "regression --n 13": "n = 13: must be at least dim + 4, 14",
    "regression --dim 0": "dim = 0: must be at least 1",
    "regression --noise -1": "noise = -1: must be a number above 0",
    "regression --lambdas 0.5 --inputs same": "inputs = same: Replace at λ = 0.5 needs",
    "regression --inputs old": "inputs = old: must be one of same, fresh, both",
    "regression --rounds 0": "rounds = 0: must be at least 1",
    "strong-collapse --lambdas -0.1": "lambdas = -0.1: must be numbers in [0, 1]",
    "strong-collapse --n 50,20": "n = 50,20: must be rising whole numbers from 1",
    "strong-collapse --widths 0,5": "widths = 0,5: must be rising whole numbers from 1",
    "strong-collapse --n many": "n = many: must be rising whole numbers from 1",
    "strong-collapse --dim 0": "dim = 0: must be at least 1",
    "strong-collapse --penalty 0": "penalty = 0: must be a number above 0",
    "strong-collapse --quality nan": "quality = nan: must be a number",
    "strong-collapse --replicas 0": "replicas = 0: must be at least 1",
}


@pytest.mark.parametrize(("words", "said"), REFUSED.items())
def test_bad_input_is_one_line(cli, tmp_path, words, said):
    status, out, errors = cli("toy", *words.split(), "--out", tmp_path / "new")
    assert (status, out) == (2, "")
    (line,) = errors.splitlines()
    assert line.startswith(f"error: {said}")
    assert not (tmp_path / "new").exists()
