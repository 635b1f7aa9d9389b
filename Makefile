# On a fresh machine with git, make and Python 3.11 or newer, two commands are enough: `make demo` and `make test`.

PYTHON ?= python3
# All cores of this process, as far as their jobs fit into the memory (kB): one takes up to 1.2 GB.
NPROC := OMP_NUM_THREADS= nproc 2>/dev/null || getconf _NPROCESSORS_ONLN
CORES ?= $(shell cat /proc/meminfo 2>/dev/null | awk -v n=$$($(NPROC)) '/^MemTotal/ {m = int($$2 / 1500000)} END {print m && m < n ? m : n}')
# The environment, one folder for each Python and build of PyTorch: `make check VENV=.venv-3.13 PYTHON=python3.13`.
VENV ?= .venv
export PATH := $(abspath $(VENV))/bin:$(PATH)
# With it, as in many containers, each process would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# Stamps of the environment: installed for runs, and for tests too. The versions are those of the locks (`make lock`).
RUN := $(VENV)/.run
TEST := $(VENV)/.test
LOCKS := workflow/environments
PIP := $(VENV)/bin/python -m pip
INSTALL := $(PIP) install --no-compile --quiet
# Likewise, with one line of progress.
DOWNLOAD := $(VENV)/bin/python tools/install.py
LOCKED := --no-deps --require-hashes --requirement $(LOCKS)
# This project is built with the locked setuptools.
EDITABLE := $(INSTALL) --no-build-isolation --editable
# PyTorch's build, for which the stamp keeps the choice. Each comes from one place:
# cpu: PyTorch's own index, without CUDA; on Linux the default where there is no NVIDIA device
# (empty): the package index: with CUDA on Linux, without it on macOS
# wheels: a folder that pip's find-links names (PIP_FIND_LINKS); the default where it is set
# cu126, ...: another build of PyTorch's index, by version alone
NVIDIA ?= $(shell command -v nvidia-smi)
FOLDER = $(or $(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
TORCH ?= $(if $(wildcard $(RUN)),$(shell cat $(RUN)),$(if $(FOLDER),wheels,$(if $(NVIDIA)$(filter Darwin,$(shell uname)),,cpu)))
VERSIONS := $(shell sed -n 's/^\(torch[a-z]*==[^ ]*\).*/\1/p' $(LOCKS)/torch.txt)
FROM_cpu := --index-url https://download.pytorch.org/whl/cpu $(LOCKED)/torch-cpu.txt
FROM_ := $(LOCKED)/torch.txt
FROM_wheels := --no-index $(VERSIONS)
FROM := $(or $(FROM_$(TORCH)),--index-url https://download.pytorch.org/whl/$(TORCH) $(VERSIONS))
# What a download takes, measured on Linux with these locks.
SIZE := 0.2 GB
TORCH_SIZE := $(if $(filter cpu,$(TORCH)),for the CPU (0.2 GB; with CUDA, make setup TORCH=),$(if $(filter wheels,$(TORCH)),from $(FOLDER),up to 3 GB with CUDA (0.2 GB without, make setup TORCH=cpu)))
NO_TORCH := echo "error: PyTorch was not installed; make setup TORCH= takes the package index, TORCH=cpu PyTorch's own, TORCH=wheels the folder PIP_FIND_LINKS"
# Like pip, but on all cores. Some packages ship invalid examples: errors are ignored.
COMPILE := $(VENV)/bin/python -m compileall -q -j 0 -x '/tests?/' $(VENV)/lib >/dev/null || true
NETWORKS := results/networks/lpips_alex.safetensors results/networks/lpips_vgg.safetensors \
	results/networks/efficientnet_lite0.safetensors
# Tests that share a fixture of their module run in one process (tests/conftest.py). Slow tests sometimes wait for a
# cluster or a killed process, so they get one process more than there are cores. A test may take 20 minutes; all together
# take 25 on two cores.
IN_PROCESSES := --numprocesses $(CORES) --dist loadgroup --timeout 1200
WITH_SLOW := --numprocesses $(shell expr $(CORES) + 1) --dist loadgroup --timeout 1200

.PHONY: setup lock demo demo-all demo-colour comparison bars bars-all second-seed near check fast test test-newest soak fuzz mutations lint docs site release gpu-check benchmark \
	benchmark-demo benchmark-evaluation benchmark-precision-recall

setup: $(RUN)  ## create the environment for runs; TORCH=cpu: without CUDA, TORCH=: with CUDA; EXTRAS=ssh,s3: with extras of pyproject.toml
	@test "$(TORCH)" = "$$(cat $(RUN))" || { echo "error: $(VENV) has another build of PyTorch; remove $(VENV) first"; exit 2; }
	$(if $(EXTRAS),$(EDITABLE) '.[$(EXTRAS)]')

# Rebuilt when the locks change.
$(RUN): $(LOCKS)/run.txt $(LOCKS)/torch.txt $(LOCKS)/torch-cpu.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed, see PYTHON=')"
	@echo "1/4 virtual environment: $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(DOWNLOAD) "2/4 packages (about $(SIZE))" $(LOCKED)/run.txt
	@$(DOWNLOAD) "3/4 PyTorch $(TORCH_SIZE)" $(FROM) || { $(NO_TORCH); exit 2; }
	@echo "4/4 this project, and bytecode for fast starts"
	@$(EDITABLE) . --no-deps
	@$(COMPILE)
	@echo "$(TORCH)" >$@
	@du -sh $(VENV)

# Test dependencies are compiled on import: the tests use only a small part of them.
$(TEST): $(LOCKS)/test.txt $(RUN)
	$(INSTALL) $(LOCKED)/test.txt
	touch $@

lock: $(TEST)  ## lock the dependencies of pyproject.toml; UPGRADE=--upgrade takes the newest allowed versions
	python tools/lock.py $(UPGRADE)

demo: setup  ## run the embedded dataset through to all tables and figures
	snakemake --cores $(CORES) --quiet host reason --prioritize nearest_neighbours  # its chain of jobs is the longest

comparison: setup  ## compare the autoencoders with one loss, the same search and five seeds (hours)
	snakemake --cores $(CORES) --configfile config/comparison.yaml
	python tools/document.py config/comparison.yaml docs/comparison.md

demo-colour: setup  ## compare BRIGHT with the other families on the embedded colour drawings
	snakemake --cores $(CORES) --configfile config/demo-colour.yaml
	python tools/document.py config/demo-colour.yaml docs/colour.md

bars: $(TEST)  ## check the demo's quality
	pytest -rP tests/demo/test_bars.py -m demo

demo-all: setup  ## run the demo with every family of the tables; results of the demo are reused
	snakemake --cores $(CORES) --configfile config/demo-all.yaml --prioritize train_generator
	python tools/document.py config/demo-all.yaml docs/other-systems.md

bars-all: $(TEST)  ## check what the other families learned (15 minutes: their untrained networks generate images, too)
	pytest -rP tests/demo/test_family_bars.py -m demo

second-seed: $(TEST)  ## check the main demo model with another training seed
	snakemake --cores $(CORES) --config run=demo-second-seed seed=1 -- headline
	BRIGHT_DEMO_RUN=demo-second-seed pytest -rP tests/demo/test_bars.py -m demo

lint: $(TEST)
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint
	mypy
	lint-imports
	python tools/config_reference.py --check
	python tools/sentences.py
	python tools/lock.py --check

docs: $(TEST)  ## build the documentation as web pages; warnings are errors
	sphinx-build -W --keep-going -q -c docs . docs/_build

site: $(TEST)  ## build the public site in site/: documentation, pages of finished runs (the demo at least), the notebook
	python tools/estimates.py --check
	python tools/publication/website.py site

release: setup  ## write release/VERSION: models, pages and curves of finished runs (the demo at least), checksums, changes
	python tools/publication/release.py

$(NETWORKS): | $(RUN)
	bright fetch_network $(basename $(notdir $@)) --output $@

near: $(TEST) $(NETWORKS)  ## run the fast tests next to what has changed since BASE (HEAD), in seconds
	python tools/near.py $(or $(BASE),HEAD) | xargs -r pytest $(IN_PROCESSES) -m "not demo and not slow"

check: lint fast  ## run the linters, the fast tests and one real run, for every commit

fast: $(TEST) $(NETWORKS)  ## run the fast tests and one real run; VENV=.venv-3.13 PYTHON=python3.13: on another Python
	pytest $(IN_PROCESSES) -m "not demo and (not slow or run)"

test: lint $(NETWORKS)  ## run everything; with REQUIRE_ALL=1 a skipped test fails
	pytest $(WITH_SLOW) -m "not demo"

test-newest: $(NETWORKS)  ## run the tests in a separate environment with the newest allowed versions
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade --editable '.[test,slurm]'
	PATH="$(CURDIR)/.venv-newest/bin:$$PATH" pytest $(WITH_SLOW) -m "not demo"

soak: $(TEST) $(NETWORKS)  ## interrupt twenty runs five times each and compare the results with an undisturbed run
	SOAK_RUNS=20 pytest -rP tests/workflow/test_soak.py tests/training/test_resume.py

fuzz: $(TEST)  ## feed damaged files to every reader for ten minutes
	FUZZ_SECONDS=600 pytest -rP tests/fuzz

mutations: $(TEST) $(NETWORKS)  ## make fifty small mistakes in the numerical code and report which test notices each
	python tools/mutations/run.py

gpu-check: $(TEST) $(NETWORKS)  ## check this machine's GPU at the size of CONFIG (config/paper.yaml), and measure its rates
	pytest -rA --show-capture=stdout tests/gpu --deselect tests/gpu/test_gpu_check.py
	python tools/gpu_check.py $(or $(CONFIG),config/paper.yaml)

benchmark: $(TEST) $(NETWORKS)  ## measure speeds, as ratios side by side
	python tools/benchmarks/benchmark_retrieval.py
	python tools/benchmarks/benchmark_decoding.py
	python tools/benchmarks/benchmark_planning.py

benchmark-demo: $(NETWORKS)  ## run the demo here and in another checkout (OTHER=FOLDER); compare times and numbers
	python tools/benchmarks/benchmark_demo.py $(OTHER)

benchmark-evaluation: $(TEST)  ## time all metrics against two libraries (40 minutes)
	PYTHONPATH=tests python tools/benchmarks/benchmark_evaluation.py

benchmark-precision-recall: $(TEST)  ## measure time and memory of precision and recall, 50,000 against 50,000 (30 minutes)
	python tools/benchmarks/benchmark_precision_recall.py
