# `make` lists the targets. Each sets up .venv first, once; touching pyproject.toml or constraints.txt sets it up again.
.DEFAULT_GOAL := help
.PHONY: help demo paper test lint docs clean setup

# The first Python that will do. Override: make PYTHON=/path/to/python3.12 demo
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$p" && break; done)
BIN := .venv/bin
READY := .venv/ready
DOCS_READY := .venv/docs_ready

# One thread a process: several workers with one thread each beat one worker with several.
export OMP_NUM_THREADS ?= 1

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## a whole sweep in the lab: pretrains, finetunes, draws PGR; minutes the first time, seconds the second
	@$(BIN)/w2sweep -cn quickstart
	@echo "Open outputs/sweeps/quickstart/report/index.html"

paper: $(READY) ## every figure of the paper in the lab, and one page of them; half an hour the first time
	@$(BIN)/w2sweep-paper
	@echo "Open outputs/paper/index.html"

# Three files at once, on two cores: tests of several processes wait a third of their time.
test: $(READY) ## all tests, without network
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

lint: $(READY) ## ruff and pyright
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/pyright

docs: $(DOCS_READY) ## the documentation as a site, without a warning
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open build/docs/index.html"

setup: $(READY) ## only the set-up

clean: ## removes .venv and caches; results stay in outputs/
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis dist build

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11, 3.12 or 3.13 found on PATH; install one, or say make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "make: $(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

# pip resolves against the pins: on a machine that shows a CPU build of torch (an index or PIP_FIND_LINKS), it takes that.
$(READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into .venv: a few minutes, once."
	@$(BIN)/pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(DOCS_READY): $(READY)
	@$(BIN)/pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@
