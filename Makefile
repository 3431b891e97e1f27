# `make demo` and `make test` need Python 3.10 or newer with venv and pip; everything else they install.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test lint docs dist check-dist starter clean

install: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check torch torchvision
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/snt-zoo demo

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --dist=worksteal

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The wheel, built from the sdist, holds what it should, and runs the demo outside the checkout.
dist: $(STAMP)
	rm -rf dist
	$(BIN)/python -m build
	OMP_NUM_THREADS=1 $(BIN)/python .ci/release.py --budget 5s

# The same in an environment that has nothing of this one: minutes, and 6 GB for a while.
check-dist: dist
	$(BIN)/python .ci/release.py --clean

starter: $(STAMP)
	$(BIN)/python -m zoo.build --data $(DATA)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
