# The commands you need:    make lab     JupyterLab with your own copies of the lessons, in work/
#                           make grade NOTEBOOK=work/01_fc_nets.ipynb
#                           make test    all tests, notebooks included
# All make .venv and install into it first, and again only when what is installed changes.

# The Pythons to try, best first; name one to decide yourself: make lab PYTHON=python3.12
PYTHON = python3 python3.14 python3.13 python3.12 python3.11 python
VENV = .venv
PY = $(VENV)/bin/python

PIP = $(PY) -m pip install --quiet --disable-pip-version-check
WORK = work
LESSON = $(WORK)/start.ipynb
LAB_FLAGS =
NOTEBOOK = $(WORK)/01_fc_nets.ipynb
GRADE_FLAGS =
TEST_FLAGS =
# One worker per core, each with one thread. In the order of the files, so that notebooks, which are as
# long as one another, come last and no worker waits for the other.
WORKERS = -n auto --maxprocesses 4 --no-loadscope-reorder

SOURCES = pyproject.toml constraints.txt setup.py \
          $(wildcard coursekit/kernels/*.pyx coursekit/kernels/*.pxi coursekit/kernels/*.h)

HTML = build/html

.DELETE_ON_ERROR:
.PHONY: help lab lab-numpy grade test worlds sanitize notebooks html bench lint types clean

help:
	@echo 'make lab        JupyterLab; your copies of the lessons are in $(WORK)/ (LESSON=..., LAB_FLAGS=...)'
	@echo 'make lab-numpy  the same without PyTorch and its gigabytes: lessons 1 to 3'
	@echo 'make grade      how far you are in NOTEBOOK=$(NOTEBOOK) (GRADE_FLAGS=...)'
	@echo 'make test       every test, and every notebook run again (TEST_FLAGS=...)'
	@echo 'make worlds     every lesson at the full budget without a network, and on CIFAR-10 in COURSEKIT_DATA'
	@echo 'make sanitize   the kernels'\'' tests under sanitizers for addresses and undefined behavior'
	@echo 'make notebooks  build notebooks/ and exercises/ from lessons/'
	@echo 'make html       the stored lessons as pages in $(HTML)/'
	@echo 'make bench      run every benchmark; results go to benchmarks/results/'
	@echo 'make lint       ruff;  make types: mypy;  make clean: remove all that was built'

lab: $(VENV)/.all
lab-numpy: $(VENV)/.numpy
lab lab-numpy:
	@$(PY) -m coursekit.lesson "$(WORK)"
	$(PY) -m jupyterlab --LabApp.default_url=/lab/tree/$(LESSON) $(LAB_FLAGS)

grade: $(VENV)/.numpy
	@$(PY) -m coursekit.grading "$(NOTEBOOK)" $(GRADE_FLAGS) || test $$? -eq 1  # 1: not all passed

test: $(VENV)/.all
	$(PY) -m pytest --nbval $(WORKERS) $(TEST_FLAGS)

worlds: $(VENV)/.all
	@test -n "$$COURSEKIT_DATA" || echo 'COURSEKIT_DATA names no CIFAR-10: its lessons are skipped'
	$(PY) -m pytest -m worlds tests/test_worlds.py $(TEST_FLAGS)

# A plain `pytest` keeps the checkout off the path, so that the kernels built here are the ones imported.
sanitize: $(VENV)/.dev
	COURSEKIT_SANITIZE=1 $(PY) setup.py -q build --build-base build/sanitize --build-lib build/sanitize/lib
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)" \
		ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc PYTHONPATH=build/sanitize/lib COURSEKIT_KERNELS=cython \
		$(VENV)/bin/pytest -q tests/test_kernels_fuzz.py tests/test_kernels.py -k 'not torch'

notebooks: $(VENV)/.all
	$(PY) lessons/build.py

html: $(VENV)/.dev
	$(PY) lessons/build.py --no-execute --html $(HTML)

bench: $(VENV)/.all
	@set -e; for script in $$(grep -l __main__ benchmarks/*.py); do \
		echo "== $$script"; $(PY) $$script; \
	done

lint: $(VENV)/.dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(VENV)/.dev
	$(PY) -m mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .ruff_cache .mypy_cache
	rm -f coursekit/kernels/_cython*.so coursekit/kernels/_cython*.pyd
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is a file that is newer than all that was installed.
$(VENV)/.numpy: $(PY) $(SOURCES)
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip  # an interrupted venv lacks it
	@echo '== coursekit, JupyterLab, pytest: about a minute'
	@$(PIP) -e '.[lab,test]'
	@touch $@

$(VENV)/.all: $(VENV)/.numpy
	@echo '== PyTorch: some minutes (5 GB on Linux)'
	@$(PY) -c 'import tomllib; print(*map(repr, tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["torch"]))' | xargs $(PIP)
	@touch $@

$(VENV)/.dev: $(PY) $(SOURCES)
	@$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

$(PY):
	@for python in $(PYTHON); do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
		then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo 'No Python 3.11 or newer among: $(PYTHON).' >&2; \
		echo 'Install one, or name it: make lab PYTHON=/path/to/python3' >&2; \
		exit 1; \
	fi; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$found cannot make virtual environments." >&2; \
		echo 'On Debian and Ubuntu: sudo apt install python3-venv' >&2; \
		exit 1; \
	fi; \
	echo "$(VENV) with $$($$found --version)"; \
	$$found -m venv --clear $(VENV)
