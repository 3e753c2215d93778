# Everything needs Python 3.11 or later; `make check` and `make baseline` need npm besides.
# Environments are made once and made again when what they are locked to changes.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
BUF := node_modules/.bin/buf
# Which folders hold Python that people wrote.
SOURCES := service models scripts tests $(sort $(dir $(wildcard benchmarks/*.py)))
SHELL_SCRIPTS := .ci/run $(wildcard scripts/*.sh docker/*.sh)
BASELINE := protos/baseline.binpb.gz

export PIP_DISABLE_PIP_VERSION_CHECK := 1
PIP := $(BIN)/python -m pip install --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Tell what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Environments

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); 3.11 or later is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime.stamp: $(BIN)/python requirements/runtime.lock requirements/build.lock pyproject.toml
	$(PIP) --require-hashes -r requirements/runtime.lock
	$(PIP) --require-hashes -r requirements/build.lock
	$(PIP) --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/runtime.stamp requirements/dev.lock
	$(PIP) --require-hashes -r requirements/dev.lock
	@touch $@

$(VENV)/train.stamp: $(VENV)/dev.stamp requirements/train.txt
	$(PIP) $(TORCH)
	$(PIP) --requirement requirements/train.txt
	@touch $@

node_modules/.package-lock.json: package.json package-lock.json
	@command -v npm > /dev/null || { echo "npm brings the proto checks; install Node.js first." >&2; exit 1; }
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: venv
venv: $(VENV)/dev.stamp ## Make the environment of a developer, .venv

.PHONY: train-venv
train-venv: $(VENV)/train.stamp ## Add to .venv what the recipe needs; choose a build with TORCH=...

## What users come for

.PHONY: demo
demo: $(VENV)/runtime.stamp ## Watch real conversations being read, turn by turn
	@$(BIN)/moodline demo

## Development

.PHONY: evaluate
evaluate: $(VENV)/dev.stamp ## Measure accuracy on every set in DATA=folder; more with ARGS="--float-dir ..."
	@[ -n "$(DATA)" ] || { echo "name the folder of the data sets: make evaluate DATA=..." >&2; exit 2; }
	$(BIN)/python -m benchmarks.accuracy --data-root "$(DATA)" $(ARGS)

.PHONY: behaviour
behaviour: $(VENV)/dev.stamp ## Record anew which behaviour cases the model passes, after a new model or new cases
	$(BIN)/python -m tests.model.behaviour.record

.PHONY: test
test: $(VENV)/dev.stamp ## Run all tests; choose some with ARGS="-k words"
	$(BIN)/python -m pytest $(ARGS)

.PHONY: format
format: $(VENV)/dev.stamp node_modules/.package-lock.json ## Format code and protos, mend what can be mended
	$(BIN)/ruff check --fix-only --quiet $(SOURCES)
	$(BIN)/ruff format --quiet $(SOURCES)
	$(BUF) format --write --path protos/moodline

.PHONY: generate
generate: $(VENV)/dev.stamp ## Generate service/moodline/v1 from the protos, and the pages of settings and default rules
	PYTHON=$(BIN)/python scripts/generate_protos.sh
	$(BIN)/python -m scripts.settings_doc
	$(BIN)/python -m scripts.rules_doc
	$(BIN)/python -m scripts.actions_doc
	$(BIN)/python -m scripts.masking_doc

.PHONY: lock
lock: $(VENV)/dev.stamp ## Resolve pyproject.toml into requirements/; take news with ARGS=--upgrade
	UV=$(BIN)/uv scripts/lock.sh $(ARGS)

.PHONY: baseline
baseline: breaking-check ## Promise the protos as they are: later changes must not break them
	$(BUF) build --path protos/moodline --exclude-source-info --output $(BASELINE)

## Checks

.PHONY: check
check: code-check proto-check generate-check text-check script-check ## Run every check but the tests

.PHONY: code-check
code-check: $(VENV)/dev.stamp ## Format, lint, types and repetition of the Python code
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy $(SOURCES)
	$(BIN)/pylint --score=n --jobs=0 service/moodline

.PHONY: proto-check
proto-check: node_modules/.package-lock.json breaking-check ## Format and lint of the protos
	$(BUF) format --diff --exit-code --path protos/moodline
	$(BUF) lint

.PHONY: breaking-check
breaking-check: node_modules/.package-lock.json ## Whether the protos break what clients of the last baseline know
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && image="$$folder/image.binpb" && \
	  $(BUF) build --path protos/moodline --exclude-source-info --output "$$image" && \
	  { [ ! -e $(BASELINE) ] || \
	    $(BUF) breaking "$$image" --against $(BASELINE) --config buf.yaml; }

.PHONY: generate-check
generate-check: $(VENV)/dev.stamp ## Whether the generated code is current
	@root=$$(mktemp -d) && trap 'rm -rf "$$root"' EXIT && \
	  PYTHON=$(BIN)/python scripts/generate_protos.sh "$$root" && \
	  for part in v1 buf; do \
	    diff -rq --exclude=__pycache__ "$$root/moodline/$$part" service/moodline/$$part || { \
	      echo "service/moodline/$$part is stale; run: make generate" >&2; exit 1; }; \
	  done

.PHONY: text-check
text-check: $(VENV)/dev.stamp ## Spelling
	$(BIN)/codespell

.PHONY: script-check
script-check: $(VENV)/dev.stamp ## Lint of the shell scripts and the Dockerfile
	$(BIN)/shellcheck $(SHELL_SCRIPTS)
	$(BIN)/hadolint Dockerfile

.PHONY: clean
clean: ## Remove environments and what builds left
	rm -rf $(VENV) node_modules build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
