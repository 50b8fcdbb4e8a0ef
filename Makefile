# The two commands of this project are `make demo` and `make test`; both set up .venv first, once.
# PYTHON is the Python 3.11 to make it with; ARGS is handed on to igllm, pytest or the fuzzer, whose INPUTS are how many it tries;
# `make check` takes the files that were changed SINCE a branch or commit.

PYTHON ?= python3.11
ARGS ?=
INPUTS ?= 1000000
SINCE ?= main

VENV := .venv
BIN := $(VENV)/bin
# The Python whose torch knows the GPU: the environment that is active, else .venv where it is set up.
GPU_PYTHON ?= $(if $(VIRTUAL_ENV),python,$(if $(wildcard $(BIN)/python),$(BIN)/python,python3))
# One environment serves both: the demo needs the base install and the studio, the tests also the development tools.
BASE := $(VENV)/base.stamp
DEV := $(VENV)/dev.stamp

# Bytecode is kept whatever the environment says: the tests start hundreds of processes, each of which would else compile the same files.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check fuzz gpu-check lint docs clean
.NOTPARALLEL:

help:
	@echo 'make demo       render, predict, re-render, compare, then train a little; ten minutes at most (ARGS="--out DIR")'
	@echo 'make test       lint, types, and the tests that are not slow (ARGS="-k NAME")'
	@echo 'make test-slow  the slow tests, and properties with many inputs'
	@echo 'make check      lint, types, and the tests of the files that were changed (SINCE=main)'
	@echo 'make fuzz       a million damaged and crafted files of every kind, an hour or two (INPUTS=10000, ARGS="--kind tar --seed 7")'
	@echo 'make gpu-check  what this machine trains, predicts and renders a second, in a table; eight minutes (GPU_PYTHON=$(GPU_PYTHON))'
	@echo 'make lint       lint, format and types alone'
	@echo 'make docs       the documentation as a site: site/index.html'
	@echo 'make clean      remove .venv, caches and what the demo wrote'
	@echo
	@echo 'The first call makes .venv with PYTHON=$(PYTHON) and fills it from the package registry.'

demo: $(BASE)
	@$(BIN)/igllm doctor --libraries
	$(BIN)/igllm demo $(ARGS)

test: lint
	@$(BIN)/igllm doctor --libraries
	$(BIN)/pytest -m 'not slow' -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: $(DEV)
	@$(BIN)/igllm doctor --libraries
	$(BIN)/pytest -m 'slow or hypothesis' --hypothesis-profile thorough $(ARGS)

check: lint
	$(BIN)/python tests/support/touched.py $(SINCE)

fuzz: $(DEV)
	$(BIN)/python tests/fuzz/campaign.py --inputs $(INPUTS) $(ARGS)

gpu-check:
	$(GPU_PYTHON) benchmarks/gpu.py $(ARGS)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(DEV)
	$(BIN)/sphinx-build -q -E -W --keep-going -b html -c docs/site . site
	@echo site/index.html

clean:
	rm -rf $(VENV) build dist demo site *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis fuzz-faults
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What a set-up was interrupted in is not to be trusted: without whole.stamp, .venv is made anew.
define SET_UP
@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	{ echo 'PYTHON=$(PYTHON) is not a Python 3.11, which Blender wants: install one, or say make PYTHON=/path/to/python3.11' >&2; exit 1; }
@test -e $(VENV)/whole.stamp || "$(PYTHON)" -m venv --clear $(VENV) || \
	{ echo 'PYTHON=$(PYTHON) cannot make an environment; on Debian or Ubuntu: apt-get install -y python3.11-venv' >&2; exit 1; }
@rm -f $(VENV)/*.stamp
$(BIN)/pip install -c constraints.txt -e '$(1)'
@touch $(VENV)/whole.stamp
endef

$(BASE): pyproject.toml constraints.txt
	$(call SET_UP,.[studio])
	@touch $(BASE)

$(DEV): pyproject.toml constraints.txt
	$(call SET_UP,.[dev])
	@touch $(BASE) $(DEV)
