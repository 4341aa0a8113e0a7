# Everything that a person or CI runs. The virtual environment is made on first use.
PYTHON ?= python3
VENV   ?= .venv
# one more than there are processors: tests wait for servers and disks, too
TESTERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
# every process would compile all sources anew
unexport PYTHONDONTWRITEBYTECODE
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help setup demo test check conformance bench bench-analysis bench-search soak fuzz regress pictures format clean
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(STAMP): pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c .ci/constraints.txt -e '.[dev]'
	@touch $@

setup: $(STAMP) ## make the virtual environment

demo: $(STAMP) ## play the main job: a Postgres, the firewall, an agent, and you as approver
	$(BIN)/firewall demo

test: $(STAMP) ## run every test
	$(BIN)/python -m pytest -n $(TESTERS) --dist loadfile --no-loadscope-reorder

check: $(STAMP) ## lint, types, layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# BENCH_QUICK=1 does little of everything. What is not installed is left out: PgBouncer, HAProxy and pgpool-II
# come with `apt-get install pgbouncer haproxy pgpool2`.
conformance: $(STAMP) ## compare with Postgres: regression SQL, pgbench, drivers (FILES=… PARTS=… SHARD=1/4)
	$(BIN)/python -m tests.conformance $(if $(FILES),--files "$(FILES)") $(if $(PARTS),--parts "$(PARTS)") \
	  $(if $(SHARD),--shard $(SHARD)) $(if $(REGRESS_SQL),--regress-sql "$(REGRESS_SQL)") $(CONFORMANCE)

bench: $(STAMP) ## measure the firewall beside direct, PgBouncer, HAProxy and pgpool-II (20 minutes)
	$(BIN)/python -m tests.benchmarks $(BENCH)

bench-analysis: $(STAMP) ## measure the analysis of new statements on a catalog of 2,000 tables (1 minute)
	$(BIN)/python -m tests.benchmarks.analysis $(BENCH)

bench-search: $(STAMP) ## measure the query log's search in a log of a million records (20 minutes; SEARCH_RECORDS=…)
	$(BIN)/python -m tests.benchmarks.search $(if $(SEARCH_RECORDS),--records $(SEARCH_RECORDS)) $(BENCH)

soak: $(STAMP) ## decide thousands of holds under kills, cancels and double clicks (SOAK_HOLDS=5000, SOAK_SEED=…)
	$(BIN)/python -m tests.soak

# FUZZ_SECONDS is the time for each target (60). What is found stays in fixtures/fuzz and fails the tests.
fuzz: $(STAMP) ## look for bytes that any room reads and should not choke on (11 minutes)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet \
		--disable-pip-version-check -c .ci/constraints.txt -e '.[fuzz]' \
		|| echo "atheris has no wheel for this Python"
	$(BIN)/python -m tests.fuzz $(FUZZ)

# REGRESS_SQL is the tarball of Postgres's regression SQL; without it the target says that it is absent.
regress: $(STAMP) ## compare the analysis with the grammar on Postgres's own regression SQL
	$(BIN)/python -m tests.sql.regress $(REGRESS_SQL)

pictures: $(STAMP) ## make the README's pictures anew (needs Debian's chromium)
	$(BIN)/python -m tests.web.pictures

format: $(STAMP) ## let ruff put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove what was built
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
