# Two commands on a fresh machine with git, make and Python 3.11 or newer: `make demo` and `make test`.

PYTHON ?= python3
CORES ?= 2
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Environments by their locks (`make lock`): for runs, and for tests too.
RUN := .venv/.run
TEST := .venv/.test
LOCKS := workflow/environments
INSTALL := .venv/bin/python -m pip install --quiet --no-compile
# As pip does it, but on all cores. Some packages ship examples that are no Python: their errors are no matter.
COMPILE := .venv/bin/python -m compileall -q -j 0 -x '/tests?/' .venv/lib >/dev/null || true
NETWORKS := results/networks/lpips_alex.safetensors results/networks/lpips_vgg.safetensors \
	results/networks/efficientnet_lite0.safetensors
# Tests of one module that share something stay together: tests/conftest.py. Slow ones wait now and then, for a cluster
# or for what is killed: one process more has something to do.
IN_PROCESSES := --numprocesses $(CORES) --dist loadgroup
WITH_SLOW := --numprocesses $(shell expr $(CORES) + 1) --dist loadgroup

.PHONY: setup lock demo demo-all demo-colour comparison bars bars-all second-seed check test test-newest soak fuzz mutations lint docs gpu-check benchmark \
	benchmark-demo benchmark-evaluation benchmark-precision-recall

setup: $(RUN)  ## an environment for runs

# Made again when the locks change. PyTorch brings what its build for this machine needs.
$(RUN): $(LOCKS)/run.txt $(LOCKS)/torch.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed, see PYTHON=')"
	$(PYTHON) -m venv .venv
	$(INSTALL) --no-deps --require-hashes --requirement $(LOCKS)/run.txt
	$(INSTALL) --requirement $(LOCKS)/torch.txt
	$(INSTALL) --no-deps --editable .
	$(COMPILE)
	touch $@

# What tests use of theirs is a small part, and compiled when it is imported.
$(TEST): $(LOCKS)/test.txt $(RUN)
	$(INSTALL) --no-deps --require-hashes --requirement $(LOCKS)/test.txt
	touch $@

lock: $(RUN)  ## the locks of what pyproject.toml asks; UPGRADE=--upgrade: newer versions where it allows them
	$(INSTALL) uv
	python $(LOCKS)/lock.py $(UPGRADE)

demo: setup  ## the embedded dataset to all tables and figures
	snakemake --cores $(CORES) --prioritize nearest_neighbours  # the longest chain of jobs first

comparison: setup  ## the autoencoders on equal footing: one loss, settings by the same search, three seeds (hours)
	snakemake --cores $(CORES) --configfile config/comparison.yaml
	bright document config/comparison.yaml docs/comparison.md

demo-colour: setup  ## BRIGHT beside the other families on the embedded drawings in colour
	snakemake --cores $(CORES) --configfile config/demo-colour.yaml
	bright document config/demo-colour.yaml docs/colour.md

bars: $(TEST)  ## the demo's quality against its bars
	pytest -rP tests/demo/test_bars.py -m demo

demo-all: setup  ## the demo with every family of the tables beside BRIGHT; what the demo made is not made again
	snakemake --cores $(CORES) --configfile config/demo-all.yaml --prioritize train_generator
	bright document config/demo-all.yaml docs/other-systems.md

bars-all: $(TEST)  ## what the other families learned (a quarter of an hour: their untrained networks make images too)
	pytest -rP tests/demo/test_family_bars.py -m demo

second-seed: $(TEST)  ## the main demo model with another training seed, against the same bars
	snakemake --cores $(CORES) --config run=demo-second-seed seed=1 -- headline
	BRIGHT_DEMO_RUN=demo-second-seed pytest -rP tests/demo/test_bars.py -m demo

lint: $(TEST)
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint
	mypy
	lint-imports
	bright config --check
	python $(LOCKS)/lock.py --check

docs: $(TEST)  ## the documentation as web pages, warnings are errors
	sphinx-build -W --keep-going -q -c docs . docs/_build

$(NETWORKS): | $(RUN)
	bright fetch_network $(basename $(notdir $@)) --output $@

check: lint $(NETWORKS)  ## the fast part of the tests, for every commit
	pytest $(IN_PROCESSES) -m "not slow and not demo"

test: lint $(NETWORKS)  ## everything; REQUIRE_ALL=1: a test that is skipped is one that failed
	pytest $(WITH_SLOW) -m "not demo"

test-newest: $(NETWORKS)  ## the tests with the newest versions that pyproject.toml allows, in an environment of their own
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade --editable '.[test,slurm]'
	PATH="$(CURDIR)/.venv-newest/bin:$$PATH" pytest $(WITH_SLOW) -m "not demo"

soak: $(TEST) $(NETWORKS)  ## twenty runs, each disturbed five times and started again, end with the files of an undisturbed one
	SOAK_RUNS=20 pytest -rP tests/workflow/test_soak.py tests/workflow/test_two_runs.py tests/slow/test_resume.py

fuzz: $(TEST)  ## ten minutes of bytes that were right once, for everything that reads files of others
	FUZZ_SECONDS=600 pytest -rP tests/fuzz

mutations: $(TEST) $(NETWORKS)  ## fifty small mistakes in the numerical code: which test notices each
	python tests/mutations/run.py

gpu-check: setup  ## whether this machine's GPU trains, decodes and samples as it should; on a CPU, the rest
	bright gpu-check

benchmark: $(TEST) $(NETWORKS)  ## speed, as ratios measured side by side
	python tests/benchmarks/benchmark_retrieval.py
	python tests/benchmarks/benchmark_decoding.py
	python tests/benchmarks/benchmark_planning.py
	python tests/benchmarks/benchmark_starts.py

benchmark-demo: $(NETWORKS)  ## the demo here and in another checkout, OTHER=FOLDER: what each takes, and whether numbers agree
	python tests/benchmarks/benchmark_demo.py $(OTHER)

benchmark-evaluation: $(TEST)  ## features against bare passes, and all metrics against two libraries (three quarters of an hour)
	PYTHONPATH=tests python tests/benchmarks/benchmark_features.py
	PYTHONPATH=tests python tests/benchmarks/benchmark_evaluation.py

benchmark-precision-recall: $(TEST)  ## 50,000 against 50,000: memory, and time (half an hour)
	python tests/benchmarks/benchmark_precision_recall.py
