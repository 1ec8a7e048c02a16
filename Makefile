# Everything a fresh machine needs: `make demo` and `make test` create the virtual environment,
# install the project into it and run. The environment is remade only when pyproject.toml or
# constraints.txt change. Where packages come from is pip's own configuration.
#
#   make demo     steer a molecule model against a real receptor, in one command
#   make demo-images  steer the shipped text-to-image model, in one command
#   make test     the default test suite
#   make slow     the tests marked slow
#   make bench-functions  compare optimisers on small problems (under ten minutes on two cores)
#   make lint     formatting, lint and types, nothing rewritten
#   make format   rewrite the files as `make lint` wants them
#   make clean    remove the virtual environment and caches
#
# Options: PYTHON=/path/to/python3.12, VENV=.venv, EXTRAS=images,inversion,molecules,dev, ARGS='--seed 1' (to the command)

SHELL := /bin/bash
PYTHON ?=
VENV ?= .venv
EXTRAS ?= images,inversion,molecules,dev
ARGS ?=

comma := ,
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(subst $(comma),-,$(EXTRAS))
SUPPORTED := import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))

.DEFAULT_GOAL := help
.PHONY: help install demo demo-images test slow bench-functions lint format clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   //p' Makefile

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@set -euo pipefail; \
	if "$(BIN)/python" -c '$(SUPPORTED)' >/dev/null 2>&1; then exit 0; fi; \
	for candidate in $(PYTHON) python3.11 python3.12 python3 python; do \
	  if "$$candidate" -c '$(SUPPORTED)' >/dev/null 2>&1; then \
	    echo "creating $(VENV) with $$("$$candidate" -V)"; \
	    exec "$$candidate" -m venv --clear "$(VENV)"; \
	  fi; \
	done; \
	echo "casbo needs CPython 3.11 or 3.12 with its venv and ensurepip modules (vina has wheels for these two only)." >&2; \
	echo "None was found on PATH: install one, or name it: make PYTHON=/path/to/python3.12" >&2; \
	exit 1
	@echo "installing casbo[$(EXTRAS)] into $(VENV): some minutes the first time"
	@"$(BIN)/python" -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	@touch "$@"

demo: $(STAMP)
	"$(BIN)/casbo" demo $(ARGS)

demo-images: $(STAMP)
	"$(BIN)/casbo" demo-images $(ARGS)

test: $(STAMP)
	"$(BIN)/python" -m pytest $(ARGS)

slow: $(STAMP)
	"$(BIN)/python" -m pytest -m slow $(ARGS)

bench-functions: $(STAMP)
	@"$(BIN)/python" -c 'import cma, cmaes' 2>/dev/null || \
	"$(BIN)/python" -m pip install --quiet -c constraints.txt -e '.[benchmarks]'
	@rm -f runs/bench-functions.jsonl
	OMP_NUM_THREADS=1 "$(BIN)/python" -m benchmarks.optimizers run --suite small --methods all \
	  --seeds 0:2 --jobs 2 --out runs/bench-functions.jsonl $(ARGS)
	"$(BIN)/python" -m benchmarks.optimizers tables runs/bench-functions.jsonl

lint: $(STAMP)
	"$(BIN)/ruff" format --check .
	"$(BIN)/ruff" check .
	"$(BIN)/mypy"

format: $(STAMP)
	"$(BIN)/ruff" format .
	"$(BIN)/ruff" check --fix .

clean:
	rm -rf "$(VENV)" build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
