# Two commands from a fresh clone: `make fit` and `make test`. Everything happens in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RECIPE ?= digits
OUT ?= runs/$(RECIPE)
# More threads gain nothing on images of 8x8, and change the last digits of every sum: with one, any number of cores
# gives the same figures.
THREADS ?= 1

.PHONY: install fit test slow lint clean

# --system-site-packages would hide what is missing; a torch that is already in .venv is kept.
$(BIN)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

install: $(BIN)/.installed

# Running it again goes on with the run in $(OUT), or shows its results if it is complete.
fit: install
	OMP_NUM_THREADS=$(THREADS) $(BIN)/lightning fit --config recipes/$(RECIPE).yaml --trainer.default_root_dir $(OUT) --ckpt_path last

# Runs that several tests need are trained once for all processes; every test computes with one thread.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal --cov --cov-report=term --cov-fail-under=90

slow: install
	$(BIN)/python -m pytest -m slow

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
