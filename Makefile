.DEFAULT_GOAL := help
PYTHON ?= $(firstword $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p; done) python3)
PYTEST_OPTIONS ?= --numprocesses auto --dist worksteal --durations 30
VENV := .venv
STAMP := $(VENV)/.installed
DEV := $(VENV)/.installed-dev

.PHONY: help demo saved-models docs tutorials tutorials-smoke test check system jax lint types clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# An environment made by hand is used as it is, once the packages are in it.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "kerasae needs Python 3.11 or later; name one as in: make PYTHON=python3.12." \
		"Received: PYTHON=$(PYTHON), $$($(PYTHON) --version 2>&1)" >&2; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment;" \
		"on Debian and Ubuntu install the package python3-venv." >&2; exit 1; }
	@echo "Installing kerasae and what it needs into $(VENV) ..."
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV): $(STAMP)
	@echo "Installing the tools of the tests into $(VENV) ..."
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

saved-models: $(STAMP) ## Train the models of saved_models/ anew, on MNIST (some 15 minutes)
	@$(VENV)/bin/python saved_models/make.py

docs: $(DEV) ## Build the site (build/docs/site)
	@$(VENV)/bin/python docs/build.py build/docs

tutorials: $(DEV) ## Run the lessons in full, on MNIST, and write their notebooks
	@$(VENV)/bin/python tutorials/build.py build

tutorials-smoke: $(DEV) ## Run the lessons on embedded data, without a network
	@$(VENV)/bin/python tutorials/build.py smoke --offline

demo: $(STAMP) ## Train a denoising autoencoder on digits and write its report (runs/demo)
	@$(VENV)/bin/kerasae train denoising --data digits --set corruption_level=0.3 \
		--out runs/demo --replace

test: $(DEV) ## Run the quick tests, of the package alone
	@$(VENV)/bin/python -m pytest $(PYTEST_OPTIONS) -m "not slow"

check: lint types docs tutorials-smoke jax system ## Check style, types, site, lessons, JAX, systems

system: $(DEV) ## Run the slow tests: whole runs, servers, kills, several processes, a browser
	@$(VENV)/bin/python -m pytest $(PYTEST_OPTIONS) -m slow tests

# Compiling takes most of the time; what is compiled needs not be fast here.
jax: $(DEV) ## Run the battery of all variants on JAX
	@KERAS_BACKEND=jax XLA_FLAGS=--xla_backend_optimization_level=0 \
		$(VENV)/bin/python -m pytest $(PYTEST_OPTIONS) tests/test_battery.py

lint: $(DEV) ## Check style and format
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

types: $(DEV) ## Check types
	@$(VENV)/bin/mypy

clean: ## Remove caches and builds, and keep the environment and the runs
	@rm -rf build dist .coverage .mypy_cache .pytest_cache .ruff_cache *.egg-info
	@find kerasae tests tutorials -name __pycache__ -type d -prune -exec rm -rf {} +
