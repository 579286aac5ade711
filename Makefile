# Everything a contributor or a first-time user runs. `make demo` and `make test` start from a bare Debian machine.
PYTHON ?= python3
VENV := .venv
WORKLOADS_VENV := .venv-workloads
BIN := $(VENV)/bin
PYTEST_ARGS ?=
WORKERS ?= 2
LOCKS := torch train optimize serve benchmark simulated
UV_COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock"

.PHONY: setup demo test test-workloads test-unit lint lock down clean

setup: $(VENV)/.installed

# One line a step; the details go to build/setup.log, which is shown when a step fails.
$(VENV)/.installed: requirements/dev.txt pyproject.toml
	@PYTHON="$(PYTHON)" bash operator/trimtab/local/setup.sh $(VENV) requirements/dev.txt

# What runs inside workload pods is tested with torch, ONNX Runtime and Triton themselves: 5 GB that nothing else needs.
$(WORKLOADS_VENV)/.installed: requirements/workloads.txt pyproject.toml
	@PYTHON="$(PYTHON)" bash operator/trimtab/local/setup.sh $(WORKLOADS_VENV) requirements/workloads.txt libpython3.11

demo: setup
	@$(BIN)/trimtab demo

# One after the other: what serves on real pods is held to its latency, and must not share its two cores with other tests.
test: test-workloads
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup --ignore tests/workloads -m "not cluster" $(PYTEST_ARGS)
	$(BIN)/pytest -m cluster tests/cluster $(PYTEST_ARGS)

test-workloads: setup $(WORKLOADS_VENV)/.installed
	$(WORKLOADS_VENV)/bin/python -m pytest -n $(WORKERS) --dist loadfile tests/workloads $(PYTEST_ARGS)

# What needs neither root nor the embedded cluster: a minute.
test-unit: setup
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup --ignore tests/workloads -m "not cluster and not control_plane" $(PYTEST_ARGS)

lint: setup
	@test ! -e operator/__init__.py || { echo "operator/__init__.py must not exist: it would shadow the standard library's operator"; exit 1; }
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/trimtab crds --check

# Lock files carry hashes and no index address: pip takes the packages from wherever it is set up to.
lock: setup
	$(UV_COMPILE) pyproject.toml -o requirements/operator.txt
	$(UV_COMPILE) pyproject.toml --extra local --extra simulate --extra dev -o requirements/dev.txt
	# Not for every Python: pytriton holds numpy below 2, which the newest Pythons no longer have.
	$(subst --universal ,,$(UV_COMPILE)) pyproject.toml --extra workloads --extra local --extra dev -o requirements/workloads.txt
	for name in $(LOCKS); do $(UV_COMPILE) requirements/$$name.in -o requirements/$$name.txt || exit 1; done

down:
	@if [ -x $(BIN)/trimtab ]; then $(BIN)/trimtab local down --all; else echo "Nothing to stop: $(BIN)/trimtab is not installed"; fi

clean: down
	rm -rf $(VENV) $(WORKLOADS_VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
