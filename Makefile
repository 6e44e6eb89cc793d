# `make demo` and `make test` set up everything they need in .venv.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test slow lint clean

# Half the training of the configurations, so that both runs end within minutes.
DEMO := --trainer.max_epochs 6 --data.images_per_round 25600

demo: .venv/ready
	$(BIN)/lightning-collapse fit --config configs/digits_replace.yaml --run runs/demo_replace $(DEMO)
	$(BIN)/lightning-collapse fit --config configs/digits_accumulate.yaml --run runs/demo_accumulate $(DEMO)

test: .venv/ready
	$(BIN)/pytest -m "not slow"

slow: .venv/ready
	$(BIN)/pytest -m slow

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv build *.egg-info

.venv/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or later is needed: make PYTHON=/path/to/python3 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
