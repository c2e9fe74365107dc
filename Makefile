# Everything below needs Python 3.10 or later with venv, make and git; the rest is installed into .venv. What more the site
# needs, its targets name.
PYTHON ?= python3
VENV := .venv
VENV_3006 := .venv-3006
VENV_SITE := .venv-site
# npm writes it last.
NODE_MODULES := kb/node_modules/.package-lock.json
# Where `make site` puts the site.
SITE ?= site
BIN := $(VENV)/bin
SALT_CALL = $(BIN)/salt-call --local --config-dir=.cache/salt -m . --log-level=error --retcode-passthrough

.DEFAULT_GOAL := help
.PHONY: help audit test test-3006 hosts hosts-all bench site serve browser lint clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/' | expand -t 14

audit: $(VENV)/ready .cache/salt/minion ## audit this machine if Courier is installed, else the sample host in examples/
	@if $(SALT_CALL) --out=json courier.info | grep -q '"installed": true'; then \
	  echo "Auditing this machine."; $(SALT_CALL) courier.audit; \
	else \
	  echo "Courier is not installed here: auditing the sample host examples/broken-host, a recorded Debian 13 with the problems of 2014-2017."; \
	  $(SALT_CALL) courier.audit root=$(CURDIR)/examples/broken-host; \
	fi; status=$$?; \
	if [ $$status -eq 2 ]; then echo "(exit status of the audit: 2, something grave was found)"; exit 0; fi; exit $$status

test: $(VENV)/ready ## unit and functional tests
	$(BIN)/python -m pytest -q -m "not privileged"

test-3006: $(VENV_3006)/ready ## the same on Salt 3006 LTS
	$(VENV_3006)/bin/python -m pytest -q -m "not privileged"

hosts: $(VENV)/ready $(VENV_3006)/ready ## tests that need root, and booted Debian machines: each problem once where it occurs
	$(BIN)/python tests/hosts/lab.py prepare
	$(BIN)/python -m pytest -q -m privileged tests/unit tests/functional
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not hosts_all" tests/hosts
	COURIER_LAB_VENV=$(CURDIR)/$(VENV_3006) $(BIN)/python -m pytest -q tests/hosts/test_fleet.py -k "one_highstate or taken_back"

hosts-all: $(VENV)/ready ## every problem on every host; writes tests/hosts/results
	$(BIN)/python tests/hosts/lab.py prepare
	$(BIN)/python -m pytest -q -n 2 --dist loadfile tests/hosts --hosts-all

bench: $(VENV)/ready $(VENV_SITE)/browser $(NODE_MODULES) ## figures, as ratios measured side by side
	@$(call require_tool,chromium,chromium)
	@for script in benchmarks/*.py; do \
	  python=$(BIN)/python; test $$script != benchmarks/site.py || python=$(VENV_SITE)/bin/python; \
	  echo "== $$script"; $$python $$script || exit 1; \
	done

site: $(VENV_SITE)/ready $(NODE_MODULES) ## the knowledge base and its offline copy, into site/ (needs Python 3.11 and npm)
	NO_MKDOCS_2_WARNING=1 $(VENV_SITE)/bin/mkdocs build --quiet --strict --site-dir $(SITE)
	NO_MKDOCS_2_WARNING=1 $(VENV_SITE)/bin/python kb/offline.py $(SITE)

serve: $(VENV_SITE)/ready ## the knowledge base on http://127.0.0.1:8000, built anew at each change
	NO_MKDOCS_2_WARNING=1 $(VENV_SITE)/bin/mkdocs serve $(addprefix --watch ,_utils _modules _states courier kb/hook.py kb/pages kb/theme tests/hosts/results)

browser: $(VENV_SITE)/browser site ## tests of the knowledge base in Chromium
	@$(call require_tool,chromium,chromium)
	SITE=$(SITE) $(VENV_SITE)/bin/python -m pytest -q tests/browser

lint: $(VENV)/ready ## format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

clean: ## remove what make has made here
	rm -rf $(VENV) $(VENV_3006) $(VENV_SITE) .cache build site kb/node_modules

$(VENV)/ready: requirements/salt-3008.txt pyproject.toml
	@$(call require_python,10)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/salt-3008.txt
	@touch $@

$(VENV_3006)/ready: requirements/salt-3006.txt pyproject.toml
	@$(call require_python,10)
	$(PYTHON) -m venv $(VENV_3006)
	$(VENV_3006)/bin/pip install --quiet --disable-pip-version-check -r requirements/salt-3006.txt
	@touch $@

# An environment of its own: Salt pins packages that the site's tools want newer.
$(VENV_SITE)/ready: requirements/site.txt
	@$(call require_python,11)
	$(PYTHON) -m venv $(VENV_SITE)
	$(VENV_SITE)/bin/pip install --quiet --disable-pip-version-check -r requirements/site.txt
	@touch $@

$(VENV_SITE)/browser: requirements/browser.txt $(VENV_SITE)/ready
	$(VENV_SITE)/bin/pip install --quiet --disable-pip-version-check -r requirements/browser.txt
	@touch $@

$(NODE_MODULES): kb/package.json kb/package-lock.json
	@$(call require_tool,npm,npm)
	npm ci --prefix kb --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.cache/salt/minion:
	@mkdir -p .cache/salt
	@printf 'id: local\nroot_dir: %s\nlog_level: error\n' $(CURDIR)/.cache/salt > $@

# $(1): the lowest Python 3 that will do.
define require_python
command -v $(PYTHON) >/dev/null || { echo "$(PYTHON): not found; install Python 3.$(1) or later, or say make PYTHON=/path/to/python3" >&2; exit 1; }; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, $(1)))' || { echo "$(PYTHON): Python 3.$(1) or later is needed; say make PYTHON=/path/to/python3" >&2; exit 1; }; \
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON): its module venv is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }; \
command -v git >/dev/null || { echo "git: not found; install git" >&2; exit 1; }
endef

# $(1): a command, $(2): the Debian package it is in; root on Debian gets it installed.
define require_tool
command -v $(1) >/dev/null || { test "$$(id -u)" -eq 0 && command -v apt-get >/dev/null && export DEBIAN_FRONTEND=noninteractive && \
  { apt-get -qq -o DPkg::Lock::Timeout=120 update; apt-get -qq -o DPkg::Lock::Timeout=120 install --no-install-recommends $(2) >/dev/null; }; } || \
  { echo "$(1): not found; on Debian: apt-get install $(2)" >&2; exit 1; }
endef
