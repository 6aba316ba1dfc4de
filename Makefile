# Everything one does with a checkout; `make` alone lists it. Needs only Python 3.11 or
# later (tools/make-venv.sh says how it copes with the Python of Debian and Ubuntu).

# Where the virtual environment is; used as it is when up to date, made when not.
VENV ?= .venv
# More options for the command of run, demo and bench: make run ARGS="--listen tcp:5000".
ARGS ?=
# What trial runs: a package, module, class or method. Started as a module of Python, for
# then this checkout's tests come before any other package of that name.
TESTS ?= tests
# Processes that share the tests; 0 runs them in one process (needed for --debug).
JOBS ?= 2
# Set (to anything) to measure what the tests reach while they run.
COVERAGE ?=

RUN_VENV = tools/make-venv.sh "$(VENV)"
DEV_VENV = tools/make-venv.sh "$(VENV)" dev
BIN = "$(VENV)"/bin
TRIAL_JOBS = $(if $(filter-out 0,$(JOBS)),-j$(JOBS))

# The targets share one environment and one set of coverage files.
.NOTPARALLEL:
.PHONY: help venv run test layering lint format types docs wheel coverage coverage-report \
	demo bench clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r name text; do \
		printf '  %-16s %s\n' "$$name" "$$text"; done

venv: ## make the environment with the development tools
	@$(DEV_VENV)

run: ## start the hub in the foreground (ARGS="--listen tcp:5000")
	@$(RUN_VENV)
	@exec $(BIN)/twistd -n --pidfile= agentcom $(ARGS)

test: ## run the tests (TESTS=tests.test_layering, JOBS=0, COVERAGE=1)
	@$(DEV_VENV)
	$(if $(COVERAGE),@$(BIN)/coverage erase)
	$(BIN)/$(if $(COVERAGE),coverage run,python) -m twisted.trial $(TRIAL_JOBS) $(TESTS)

layering: ## check who imports whom, sizes and clocks
	@$(MAKE) --no-print-directory test TESTS=tests.test_layering COVERAGE= JOBS=0

coverage: ## run the tests and refuse under 90 % branch coverage
	@$(MAKE) --no-print-directory test COVERAGE=1
	@$(MAKE) --no-print-directory coverage-report

coverage-report: ## judge the measurements of the last `make test COVERAGE=1`
	@$(DEV_VENV)
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report

lint: ## ruff: errors and formatting
	@$(DEV_VENV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: ## let ruff repair what it can
	@$(DEV_VENV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: ## mypy, strict
	@$(DEV_VENV)
	$(BIN)/mypy

docs: ## build the documentation, warnings are errors; read the news fragments
	@$(DEV_VENV)
	$(BIN)/sphinx-build -W --keep-going -n -q -b html docs docs/_build/html
	@$(BIN)/towncrier build --draft >/dev/null 2>&1 || $(BIN)/towncrier build --draft

wheel: ## build the wheel and try it in an empty environment
	@$(DEV_VENV)
	tools/check-wheel.sh $(BIN)/python

demo: ## see the hub work, from nothing
	@$(DEV_VENV)
	$(BIN)/python examples/review/demo.py $(ARGS)

bench: ## measure the hub
	@$(DEV_VENV)
	$(BIN)/agentcom bench $(or $(ARGS),push)

clean: ## remove what the targets made, the environment too
	rm -rf build dist docs/_build htmlcov _trial_temp* .coverage .coverage.* *.egg-info \
		.mypy_cache .ruff_cache .hypothesis twisted/plugins/dropin.cache
	find agentcom tests twisted tools docs -name __pycache__ -prune -exec rm -rf {} +
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
