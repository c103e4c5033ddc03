# Everything that is typed. Each target does what the one before it needs, and nothing when nothing changed.
.POSIX:
SHELL := /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: run install test lint format bench screens docs pins clean help

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv --quiet
TRANSLATIONS := $(shell find src/parcelle -path '*/LC_MESSAGES/*.po')
# Quietly, and without asking the way to anybody's advertisements.
NPM := npm_config_fund=false npm_config_audit=false npm_config_update_notifier=false $(BIN)/npm

run: install ## install what is missing, then start everything
	@exec $(BIN)/parcelle up

install: $(VENV)/.package $(VENV)/.frontend $(VENV)/.translations ## set everything up inside this folder

STACKS := tests/docker tests/contracts/test_providers.py tests/contracts/test_portainer_stacks.py \
	tests/crash/test_docker_steps.py tests/surfaces/cli/test_guide.py
WHOLE := tests/crash/test_outages.py tests/browser
test: install $(VENV)/.requirements-dev ## all tests that this machine allows
# Stacks in containers mostly wait for their health checks, beside each other but not beside tests that want the
# processors. What starts a whole installation has the machine to itself, after the rest. The browser's driver also keeps an event
# loop running in its process, in which nothing else could use the database.
	@failed=0; \
	$(BIN)/python -m pytest -n auto --dist loadfile $(STACKS:%=--ignore=%) $(WHOLE:%=--ignore=%) $(PYTEST) || failed=1; \
	$(BIN)/python -m pytest -n auto --dist loadfile $(STACKS) $(PYTEST) || failed=1; \
	$(BIN)/python -m pytest $(WHOLE) $(PYTEST) || failed=1; \
	exit $$failed

lint: install $(VENV)/.requirements-dev ## style, types and the directions between the floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: install $(VENV)/.requirements-dev ## repair what can be repaired without thinking
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install $(VENV)/.requirements-dev ## every performance claim against its figure
	@for file in bench/[a-z]*.py; do $(BIN)/python "$$file" || failed=1; done; exit $${failed:-0}

screens: install $(VENV)/.requirements-dev ## a picture of every page, into var/screens
	$(BIN)/python -m tests.browser.screens

docs: install $(VENV)/.requirements-dev ## the reference pages that are written by the code itself
	$(BIN)/python docs/generate.py

pins: ## recompile the exact versions from pyproject.toml
	$(BIN)/uv pip compile $(PINS) --extra build pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile $(PINS) --extra build --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt
PINS := --quiet --universal --python-version 3.12 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate

clean: ## remove what install made; var/ stays
	rm -rf $(VENV) frontend/node_modules

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/make \1|\2/p' Makefile | while IFS='|' read -r a b; do printf '%-14s %s\n' "$$a" "$$b"; done

# --- what the targets above stand on -------------------------------------------------------------------

# Runs a command quietly. A full disk is told in one sentence, also where the program under it says it in twenty lines or
# not at all; what else went wrong is told in its own words.
TRY := try() { \
	said=$$(LC_ALL=C "$$@" 2>&1) && return; \
	case "$$said" in \
		*"o space left"*|*ENOSPC*|*"os error 28"*|*"Errno 28"*) full=1;; \
		*) full=$$(for place in "$(CURDIR)" "$(CURDIR)/$(VENV)"; do df -Pk "$$place" 2>/dev/null; done | awk '/%/ && $$4 ~ /^[0-9]+$$/ && $$4 < 65536 {print 1; exit}');; \
	esac; \
	if [ "$$full" ]; then \
		echo "The disk is full: Parcelle takes about 1.5 GB in $(CURDIR), and as much for a moment in the folder for temporary files. Free some room, then run make again." >&2; exit 1; \
	fi; \
	[ -z "$$said" ] || printf '%s\n' "$$said" >&2; return 1; }

WRITABLE := test -w $(VENV) || { \
	echo "$(CURDIR) cannot be written: Parcelle installs itself into this folder, so copy it to one of yours." >&2; exit 1; }

# A name on the path proves nothing: a pyenv shim answers for versions that are not there.
$(VENV)/.created:
	@works() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; }; \
	if works $(BIN)/python && [ -x $(BIN)/pip ]; then touch $@; exit; fi; \
	for candidate in $(PYTHON) python3.14 python3.13 python3.12 python3 python \
			"$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python3; do \
		if works "$$candidate"; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Parcelle needs Python 3.12 or newer and found none: install it, or say where it is with make PYTHON=/path/to/python3." >&2; exit 1; \
	fi; \
	if ! "$$found" -c 'import venv, ensurepip' >/dev/null 2>&1; then \
		echo "$$found has no venv module: install it first (Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; \
	fi; \
	mkdir -p $(VENV) 2>/dev/null || :; $(WRITABLE); \
	echo "Installing into $(VENV) with $$("$$found" --version)"; \
	$(TRY); try "$$found" -m venv --clear $(VENV) && touch $@

# pip fetches uv, and uv the rest in a fraction of the time. Where uv cannot reach what pip is configured
# to use (a company's own index), pip does it all.
$(VENV)/.requirements: requirements.txt $(VENV)/.created
	@$(WRITABLE)
	@awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements.txt > $(VENV)/uv.txt
	@$(TRY); try $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.txt
	@$(TRY); try $(UV) pip install --python $(BIN)/python --require-hashes -r requirements.txt \
		|| try $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.requirements-dev: requirements-dev.txt $(VENV)/.requirements
	@$(WRITABLE)
	@$(TRY); try $(UV) pip install --python $(BIN)/python --require-hashes -r requirements-dev.txt \
		|| try $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

$(VENV)/.package: pyproject.toml $(VENV)/.requirements
	@$(WRITABLE)
	@$(TRY); try $(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.frontend: frontend/package.json frontend/package-lock.json $(VENV)/.requirements
	@$(WRITABLE)
	@$(TRY); PATH="$(CURDIR)/$(BIN):$$PATH"; cd frontend && try env $(NPM:$(BIN)/%=%) ci --loglevel=error --ignore-scripts
	@touch $@

$(VENV)/.translations: $(TRANSLATIONS) $(VENV)/.requirements
	@$(WRITABLE)
	@for file in $(TRANSLATIONS); do $(BIN)/pybabel --quiet compile --input-file "$$file" --output-file "$${file%.po}.mo" || exit 1; done
	@touch $@
