# Everything a person does here, by one word. `make` alone lists the words.

PYTHON ?= python3
BIN := .venv/bin

# Only what `make setup` made takes part, whatever the caller's shell has activated or exported.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONWARNINGS PYTHONDONTWRITEBYTECODE
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV PIP_CONSTRAINT PIP_REQUIREMENT PIP_NO_DEPS
unexport GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_COMMON_DIR GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
unexport GIT_NAMESPACE GIT_PREFIX GIT_CONFIG GIT_CONFIG_COUNT GIT_CONFIG_PARAMETERS

# Stamps say that a step is done, and for which folder: an environment that was moved or copied is made again, and so is
# anything that was deleted.
VENV := .venv/ready
TOOLS := .tools/ready
unless_here = $(if $(and $(wildcard $(1)),$(filter $(CURDIR),$(shell cat $(2) 2>/dev/null))),,.FORCE)

.PHONY: help setup demo demo-check test test-long test-cluster real-cluster lint format bench lock clean .FORCE
.DEFAULT_GOAL := help

help: ## list these words
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

setup: $(VENV) $(TOOLS) ## make .venv (locked packages) and fetch kubectl and helm into .tools
	@echo "ready: .venv and .tools"

$(VENV): requirements/dev.txt pyproject.toml scripts/make_venv.py $(call unless_here,$(BIN)/python,$(VENV))
	@$(PYTHON) -I scripts/make_venv.py
	@echo "$(CURDIR)" > $@

$(TOOLS): scripts/fetch_tools.py scripts/fetch_registry.py $(call unless_here,.tools/bin/kubectl,$(TOOLS)) | $(VENV)
	@$(BIN)/python -I scripts/fetch_tools.py --tests
	@$(BIN)/python -I scripts/fetch_registry.py
	@mkdir -p .tools && echo "$(CURDIR)" > $@

demo: setup ## show the whole flow on this machine (FORGE=github: with pull requests)
	@$(BIN)/python -m deploy_pipeline.demo $(if $(FORGE),--forge $(FORGE))

demo-check: setup ## run the demo without a person and check every step of it (FORGE=github, too)
	@$(BIN)/python -m deploy_pipeline.demo --check $(if $(FORGE),--forge $(FORGE))

test: setup ## run the tests, but for the long ones (ARGS="-k name" narrows)
	@$(BIN)/python -m pytest -n 3 --dist loadgroup -m "not long and not cluster" $(ARGS)

test-long: setup ## run the tests that take more than about 20 seconds each
	@$(BIN)/python -m pytest --timeout 900 -m "long and not cluster" $(ARGS)

test-cluster: setup ## run random histories and releases on a real cluster (KUBECONFIG=file)
	@test -n "$$KUBECONFIG" || { echo "error: KUBECONFIG names no cluster" >&2; exit 2; }
	@$(BIN)/python -m pytest -m "not long" --cluster "$$KUBECONFIG" tests/cluster_suite tests/properties $(ARGS)

real-cluster: setup ## build a kube-apiserver and serve it, for test-cluster and bench (Debian 12, root: installs packages)
	@$(BIN)/python -m tests.real_cluster .real-cluster

lint: $(VENV) ## check style, format, types and layers
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV) ## bring the code into the one format
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: setup ## measure what the documents state as figures
	@$(BIN)/python -m benchmarks $(ARGS)

lock: ## resolve the dependencies anew into requirements/
	@$(PYTHON) -I scripts/lock.py

clean: ## remove all that `make` made
	@rm -rf .venv .tools .demo .real-cluster .dagster_home .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
