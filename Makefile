# Everything a developer does, one line each. `make up` and `make test` need Linux, Python 3.11+, Java 17+ and Maven.
.DEFAULT_GOAL := help
.PHONY: help setup up down status logs reset token lint types test test-alone test-engines chaos bench
MAKEFLAGS += --no-print-directory

PYTHON := .venv/bin/python
LOCAL := @$(PYTHON) -m deploy.local

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv from requirements.lock, again only when the lock has changed
	@bash deploy/local/setup.sh >&2

up: setup ## Start Carnet on http://localhost:8080 and tell its story (other ports: CARNET_PORTS_BASE=18000)
	$(LOCAL) up

down: setup ## Stop everything; data stays in .carnet
	$(LOCAL) down

status: setup ## Show each process: pid, port, ready or not, memory
	$(LOCAL) status

logs: setup ## Follow the logs (one process: NAME=documents-1)
	$(LOCAL) logs $(NAME)

reset: setup ## Stop everything and delete its data (without being asked: YES=1)
	$(LOCAL) reset $(if $(YES),--yes)

# A text may hold anything: the shell, not make, puts it in its place.
token: setup ## Print an access token, alone: AS=moreau FOR=camille (else oneself) [PURPOSE=BTG REASON=other TEXT="..."]
	@# make itself has a variable AS, the assembler: ours comes from outside.
	@$(if $(filter default undefined,$(origin AS)),echo 'Say whose: make token AS=moreau FOR=camille' >&2; exit 2)
	$(LOCAL) token $(AS) $(if $(FOR),--for $(FOR)) $(if $(PURPOSE),--purpose $(PURPOSE)) \
		$(if $(REASON),--reason $(REASON)) $(if $(value TEXT),--text "$$TEXT")

lint: setup ## Check style with ruff
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check

types: setup ## Check types with mypy
	@$(PYTHON) -m mypy

test: lint types ## Run every check and every test, with a sample of each campaign
	@$(MAKE) --jobs=2 --output-sync=line test-alone test-engines

# Half of the time the ones wait for engines, and the others want a processor.
test-alone: # What needs no engine
	@$(PYTHON) -m pytest tests/unit tests/contracts tests/architecture

test-engines: # What runs on MongoDB and Kafka
	@$(PYTHON) -m pytest tests --ignore=tests/unit --ignore=tests/contracts --ignore=tests/architecture

chaos: setup ## Run the campaigns whole: crashes, pauses, outages, rules (long; CARNET_SEED=n for the same lots)
	@CARNET_CHAOS=full $(PYTHON) -m pytest tests/chaos tests/unit/consent/test_oracle.py tests/unit/consent/test_mutants.py --timeout=0 -s

bench: setup ## Measure deposits, lists and reads on a stack of its own
	$(LOCAL) bench
