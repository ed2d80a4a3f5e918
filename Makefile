# Needs Python (3.11 or newer) and make. `make` alone lists the targets.
# Another Python:   make test PYTHON=python3.13 VENV=.venv313
# Some tests only:  make test TESTS=tests/learners OPTIONS="-x -k ridge"
# As CI runs them with the other Python, each with the first of its parameters:  make test OPTIONS=--first-parameters

PYTHON ?= python3
VENV ?= .venv
PEERS ?= .venv-peers
TESTS ?= tests
OPTIONS ?=
# Tests are mostly compilation, which a second process halves. One process: make test WORKERS=
WORKERS ?= --numprocesses auto --dist worksteal

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup locks format lint types test test-slow test-all check demo demo-serve bench bench-quick bench-large bench-own-data bench-serve bench-sinusoid peers results results-quick docs clean

VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
LOCK := $(wildcard requirements/py$(subst .,,$(VERSION)).txt)
READY := $(VENV)/ready-$(VERSION)
RUN := $(VENV)/bin
PIP := $(RUN)/python -m pip --disable-pip-version-check

help: ## List the targets
	@while read -r line; do [[ $$line =~ ^([a-z-]+):.*'## '(.*) ]] && printf '  %-14s %s\n' "$${BASH_REMATCH[@]:1}" || true; done < Makefile

setup: $(READY) ## Make the environment: pinned and hash-checked requirements, then metajax itself

$(READY): $(or $(LOCK),pyproject.toml)
	$(PYTHON) -m venv --clear $(VENV)
	$(if $(LOCK),$(pinned),$(unpinned))
	@: > $@

define pinned
@echo "Installing $(LOCK) into $(VENV), a few minutes the first time:"
@$(PIP) install --require-hashes -r $(LOCK) | while read -r verb what _; do [[ $$verb != Collecting ]] || printf '%s ' "$$what"; done; echo
$(PIP) install --quiet --no-deps --no-build-isolation --editable .
endef

define unpinned
@echo "There is no lock file for Python $(VERSION): installing the newest releases that pyproject.toml allows."
$(PIP) install --quiet --editable '.[test,dev,tune,index,stream,serve,stores]'
endef

locks: $(READY) ## Pin the newest requirements for Python 3.11 and 3.13 and for the image, with hashes
	$(PIP) install --quiet uv
	for version in 3.11 3.13; do $(RUN)/uv pip compile pyproject.toml --quiet --upgrade --extra test --extra dev --extra tune --extra index --extra stream --extra serve --extra stores \
	  --python-version $$version --generate-hashes --no-header --no-annotate --no-emit-index-url --output-file requirements/py$${version/./}.txt; done
	$(call pinned_for_the_image,pyproject.toml --extra serve --extra stores,deploy/requirements.txt)
	$(call pinned_for_the_image,- <<< hatchling,deploy/requirements-build.txt)

define pinned_for_the_image
$(RUN)/uv pip compile $(1) --quiet --constraint requirements/py313.txt --python-version 3.13 --generate-hashes --no-header --no-annotate --no-emit-index-url --output-file $(2)
endef

format: $(READY) ## Format the code and mend what ruff can mend
	$(RUN)/ruff format
	$(RUN)/ruff check --fix

lint: $(READY) ## Check style, format and what is known to be unsafe
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/bandit --quiet --recursive metajax

types: $(READY) ## Check types
	$(RUN)/pyright --pythonpath $(RUN)/python

test: $(READY) ## Run the tests that are not slow, six to eleven minutes on two cores
	$(RUN)/python -m pytest $(WORKERS) $(TESTS) -m "not slow" $(OPTIONS)

test-slow: $(READY) ## Run the slow tests
	$(RUN)/python -m pytest $(WORKERS) $(TESTS) -m slow $(OPTIONS)

test-all: $(READY) ## Run every test; says which of Debian's packages some want, and installs none
	@$(tell_what_is_missing)
	$(RUN)/python -m pytest $(WORKERS) $(TESTS) -rs $(OPTIONS)

# Package:program
DEBIAN := chromium:chromium chromium-driver:chromedriver redis-server:redis-server postgresql:/usr/lib/postgresql/*/bin/initdb prometheus:promtool

define tell_what_is_missing
echo "Some tests want Debian's packages $(foreach each,$(DEBIAN),$(firstword $(subst :, ,$(each)))), and pip install '.[deploy]'."; \
missing=(); for each in $(DEBIAN); do type $${each#*:} &> /dev/null || missing+=($${each%%:*}); done; \
(( ! $${#missing[@]} )) || echo "Not there, so that their tests skip: apt-get install $${missing[*]}"
endef

check: lint types test ## What CI runs

demo: $(READY) ## Meta-train on real ratings for minutes, evaluate, recommend to a new person
	$(RUN)/metajax demo

demo-serve: $(READY) ## Train the demo if there is none, serve it and print the page's address
	[[ -d runs/demo ]] || $(RUN)/metajax demo
	$(RUN)/metajax serve runs/demo $(OPTIONS)

bench: $(READY) ## Measure the speed against torch, minutes; first: pip install torch into the environment
	$(RUN)/python -m benchmarks $(OPTIONS)

bench-quick: $(READY) ## The same in under five minutes, results printed and not kept
	$(RUN)/python -m benchmarks --quick $(OPTIONS)

bench-large: $(READY) ## Write a log of 100 million ratings and train on it in bounded memory, minutes
	$(RUN)/python -m benchmarks.large_log $(OPTIONS)

bench-own-data: $(READY) ## Train on generated files of 500 to ten million ratings without a choice, half an hour
	$(RUN)/python -m benchmarks.own_data $(OPTIONS)

bench-serve: $(READY) ## Measure the service under load, minutes; an artifact of yours: OPTIONS="--artifact FOLDER"
	$(RUN)/python -m benchmarks.serving $(OPTIONS)

bench-sinusoid: $(READY) ## Reproduce the sinusoid table, a learner and seed at a time
	$(RUN)/python experiments/sinusoid/suite.py $(OPTIONS)

peers: ## Measure other libraries' recommenders on our tasks, in an environment of their own; most of an hour
	[[ -x $(PEERS)/bin/metajax ]] || { $(PYTHON) -m venv $(PEERS) && $(PEERS)/bin/pip install --quiet --editable '.[peers]'; }
	OPENBLAS_NUM_THREADS=1 $(PEERS)/bin/python -m benchmarks.peers $(OPTIONS)

results: $(READY) ## Train and evaluate all kept reports again, most of a day; some: OPTIONS="movielens_1m/ridge"
	$(RUN)/python docs/run_board.py $(OPTIONS)

results-quick: $(READY) ## One seed of the flagship beside the baselines and the kept figures, under 20 minutes
	$(RUN)/python docs/run_board.py --quick

docs: $(READY) ## Write docs/results.md and the README's results from the kept reports
	$(RUN)/python docs/results_table.py

clean: ## Delete the environments, caches and builds; runs stay
	$(PYTHON) -c 'import glob, shutil; [shutil.rmtree(path) for pattern in (".venv*", ".*_cache", ".hypothesis", "dist") for path in glob.glob(pattern)]'
