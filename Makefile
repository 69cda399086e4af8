# Needs python3 (3.10 or newer) and make; everything else is installed into .venv on first use.
#   make test                        with python3
#   PYTHON=python3.12 VENV=.venv312 make test
#   CONSTRAINTS= make test           the newest releases instead of the pinned ones
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
RUN := $(BIN)/python -m
PIP_INSTALL := $(RUN) pip install $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
# Written last, so that an install which failed is tried again.
INSTALLED := $(VENV)/.installed
# A process a core; each begins with tests that lie together and share what they prepare, and helps the others at the end.
PYTEST := $(RUN) pytest -n auto --dist worksteal

REPORT := Resources/Examples/report_positive.txt
DEMO := out/demo

.DEFAULT_GOAL := help
.PHONY: help install demo check test test-slow lint format docs demo-model study benchmark screenshots publish clean

help:  ## Show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

install: $(INSTALLED)  ## Make the virtual environment

# torch goes first and alone: it is the one large download, and a CPU build found here is then kept by the second call.
$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	rm -f $@
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) torch
	$(PIP_INSTALL) -e ".[dev]"
	touch $@

demo: $(INSTALLED)  ## Generate one volume from an example report
	$(BIN)/ccella generate --report-file $(REPORT) --seed 7 --out $(DEMO) --overwrite
	@echo "The volume and its picture:"
	@ls -1 $(DEMO)/*.nii.gz $(DEMO)/*.png

check: lint  ## Lint, check types and run the quick tests, in two or three minutes
	$(PYTEST) -m "not medium and not slow"

test: lint  ## Lint, check types and run every test but the slow ones, in at most ten minutes
	$(PYTEST) -m "not slow"

test-slow: $(INSTALLED)  ## Run the slow tests: trainings that are killed again and again, whole ways
	$(PYTEST) -m slow

lint: $(INSTALLED)  ## Check style and types
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

format: $(INSTALLED)  ## Put the code in order
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

docs: $(INSTALLED)  ## Write the tables of the documentation that are made from code and from measured numbers
	$(BIN)/python docs/tools/generated_blocks.py

demo-model: $(INSTALLED)  ## Train the demonstration model again, from the patients in DATA=FOLDER
	$(BIN)/python docs/tools/make_demo_model.py "$(or $(DATA),$(error DATA=FOLDER is missing: the patients of the recipe; docs/demo_model.md says how anyone gets them))"

study: $(INSTALLED)  ## Compare four variants on the digital prostate, in some hours
	$(BIN)/python docs/tools/make_study.py

benchmark: $(INSTALLED)  ## Time one step and the decoding on this machine
	$(BIN)/python Testing/benchmarks/speed.py

screenshots: $(INSTALLED)  ## Draw the pictures of the Slicer module
	$(BIN)/python docs/tools/picture_slicer.py $(if $(REAL),--real $(REAL)) $(if $(LESION),--lesion $(LESION))

publish: $(INSTALLED)  ## Write the repository of the extension, as one commit, and check it
	$(BIN)/python docs/tools/publish.py

clean:  ## Remove what was generated; the virtual environment stays
	rm -rf out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find ccella_core CCELLAGenerator Testing -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
