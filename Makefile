PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: run test test-all env check bench clean

run: env  ## the whole flow on the built-in shop; ends by naming the report
	$(BIN)/python -m ray_jobs.pipeline name=shop

test: env  ## all tests but the long ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(filter-out tests/stage/,$(sort $(wildcard tests/*/)))
	$(BIN)/python -m pytest tests/stage $(wildcard tests/test_*.py)

test-all: env  ## the long ones too: lost nodes, deadly tiles, taught students
	$(BIN)/python -m pytest -m ""

check: env  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: env  ## the benchmarks, quick sizes
	$(BIN)/python -m benchmarks.bench_bm25
	$(BIN)/python -m benchmarks.chaos --quick

env: $(STAMP)  ## .venv with the project and all its extras, exactly as pinned

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,dev,bench,parity]"
	touch $(STAMP)

clean:
	rm -rf .venv runs
