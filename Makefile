# `make repro` and `make test` set up what they need: a .venv in this folder, from requirements.lock.
.PHONY: repro test setup readme lint clean help
.DEFAULT_GOAL := help
VENV := .venv/bin
IN_VENV := PATH="$(CURDIR)/$(VENV):$$PATH" DVC_NO_ANALYTICS=1

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: .venv/installed  ## make .venv from requirements.lock

# Compiled at once: where Python may not write bytecode, each start would compile torch anew, for seconds.
.venv/installed: requirements.lock pyproject.toml
	test -x $(VENV)/python || python3 -m venv .venv
	$(VENV)/python -m pip install -q --disable-pip-version-check uv
	$(VENV)/uv pip install -q --compile-bytecode --python $(VENV)/python -r requirements.lock
	$(VENV)/uv pip install -q --python $(VENV)/python --no-deps -e .
	touch $@

repro: .venv/installed  ## run every stage that is due, on the embedded data
	$(IN_VENV) dvc repro

readme: .venv/installed  ## write the numbers of README.md and docs/results.md from reports/
	$(IN_VENV) python .ci/readme.py

lint: .venv/installed  ## ruff, mypy, import-linter
	$(IN_VENV) ruff check .
	$(IN_VENV) ruff format --check .
	$(IN_VENV) mypy
	$(IN_VENV) lint-imports

# One thread a process: there is a process for each core. LINTED=1: where `make lint` has been a step of its own.
test: $(if $(LINTED),,lint) .venv/installed  ## lint, then the tests
	OMP_NUM_THREADS=1 $(IN_VENV) python -m pytest -n logical --dist loadfile --no-loadscope-reorder

clean:  ## remove what the stages made (not .venv, not DVC's cache, not artifacts/imported)
	rm -rf data
	test ! -d artifacts || find artifacts -mindepth 1 -maxdepth 1 ! -name imported -exec rm -rf {} +
