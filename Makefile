# make demo   environment, install, the main job on the bundled model and text, then the web app (ARGS=--no-serve to end)
# make test   environment, install, all tests that need no GPU, no network and no patience
# make check  formatting, lint, types, layers
# make docs   the documentation as a site in site/
# make reference   the pages that are made from the code, written again
# make wheel  wheel and sdist, and the demo from the wheel in an environment of its own
# make bench  training steps against a plain dense one and the floor of the machine

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
WORKERS ?= 2

# Threads that wait should sleep, not spin: worth 40 % on shared machines (read by torch's OpenMP when it loads).
export OMP_WAIT_POLICY ?= passive
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Compiled files are kept: the tests start a thousand modules in each of some hundred processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check docs reference wheel bench constraints clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/monoseme demo $(ARGS)

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check src tests scripts benchmarks
	$(BIN)/ruff check src tests scripts benchmarks
	$(BIN)/basedpyright
	$(BIN)/lint-imports

# The variable leaves out a banner of the theme about a future MkDocs, which is no warning about these pages.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

reference: $(VENV)/.installed-dev
	$(BIN)/python -m monoseme.cli._docs docs
	$(BIN)/python -m monoseme.saes._docs docs/architectures.md
	$(BIN)/python -m monoseme.evaluation._docs docs/metrics.md

wheel: $(VENV)/.installed-dev
	$(BIN)/python scripts/check_wheel.py $(ARGS)

bench: $(VENV)/.installed-dev
	$(BIN)/monoseme bench train $(ARGS)

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'monoseme needs Python 3.11 or newer: make PYTHON=/path/to/python3.11')"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $(VENV)/.installed $@

constraints: $(VENV)/.installed-dev
	(sed '/^[^#]/d' constraints.txt; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu//') > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) site dist build .pytest_cache .ruff_cache .hypothesis
