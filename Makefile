# make demo: the main job on a fresh machine.   make test: set-up and all tests.
# make test-fast: those that take no time, of the sources as they are.
PYTHON ?= python3
VENV ?= .venv
# AUTO builds the CUDA kernels where nvcc is found; ON fails without it; OFF leaves them out.
CUDA ?= AUTO
# One architecture builds in a minute: this machine's, or Hopper's where no GPU is to be seen.
CUDA_ARCH ?= $(shell a=$$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | grep -oE '^[0-9]+\.[0-9]+' | head -n 1 | tr -d .); echo $${a:-90}-real)

# Processes that run tests side by side, files of tests whole.
JOBS ?= $(shell n=$$(nproc); echo $$((n < 8 ? n : 8)))

BIN := $(VENV)/bin
SOURCES := $(shell find csrc pyattrx benchmarks -type f -not -name '*.so' -not -name '*.pyc' -not -path '*/results/*') CMakeLists.txt pyproject.toml constraints.txt
CONFIG := -C cmake.define.ATTRX_CUDA=$(CUDA) -C cmake.define.CMAKE_CUDA_ARCHITECTURES=$(CUDA_ARCH)
LIST_CPP := git ls-files '*.h' '*.cpp' '*.cu' '*.cuh'

# Where the installation follows the sources, tests are of it.
INSTALLED := $(if $(wildcard $(VENV)/.developed),$(VENV)/.developed,$(VENV)/.installed-dev)
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist loadfile

.PHONY: demo test test-fast durations lint format develop docs bench sanitize emulate spills clean

demo: $(VENV)/.installed-demo
	$(BIN)/pyattrx demo

test: $(INSTALLED)
	$(PYTEST)

test-fast: $(VENV)/.developed
	$(PYTEST) -q -m 'not slow'

# Which tests are slow; without them others pay for what they share.
durations: $(INSTALLED)
	$(PYTEST) --record-slow
	$(PYTEST) --record-slow -m 'not slow'

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(LIST_CPP) | xargs $(BIN)/clang-format --dry-run -Werror

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(LIST_CPP) | xargs $(BIN)/clang-format -i

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch first and by itself, so that no other requirement chooses another build of it.
$(VENV)/.torch: constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	touch $@

$(VENV)/.installed-%: $(SOURCES) $(VENV)/.torch
	$(BIN)/python -m pip install --quiet -c constraints.txt $(CONFIG) '.[$*]'
	rm -f $(VENV)/.developed
	touch $@

# The site, in build/site: no network needed, and no warning passes.
docs: $(INSTALLED)
	$(BIN)/sphinx-build -W --keep-going -q -d build/site-cache docs build/site

# An installation that follows the sources; run again after a change of csrc/.
develop: $(VENV)/.torch
	$(BIN)/python -m pip install --quiet scikit-build-core pybind11 ninja 'cmake>=3.25'
	$(BIN)/python -m pip install --quiet -c constraints.txt $(CONFIG) --no-build-isolation -C build-dir=build/develop -e '.[dev]'
	touch $(VENV)/.developed

# Python's sources are followed; these are not.
$(VENV)/.developed: $(shell find csrc -type f) CMakeLists.txt pyproject.toml constraints.txt
	$(MAKE) develop

# Needs the editable installation: run from this folder, Python finds these sources first.
bench: develop
	$(BIN)/python -m benchmarks all

# The op tests over CPU kernels that watch for bad addresses and undefined behaviour.
sanitize: $(VENV)/.installed-dev
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python tests/sanitize.py

# The CUDA kernels on an emulated device: their tests, then under ASan, then under ThreadSanitizer;
# and a rehearsal of what is to run on a GPU.
emulate: $(VENV)/.installed-dev
	for mode in plain address thread; do PATH=$(abspath $(BIN)):$$PATH $(BIN)/python tests/emulate.py $$mode || exit 1; done
	ATTRX_SITE=$(abspath build/emulate/plain/site) PYTHON=$(BIN)/python bash benchmarks/gpu_machine.sh build/emulate/rehearsal

# The log of the CUDA compiler, searched for kernels that spill registers: on one architecture for
# each way in which products are made.
SPILL_ARCH ?= 75-real;80-real;90-real
spills: $(VENV)/.installed-dev
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python tests/spills.py '$(SPILL_ARCH)'

clean:
	rm -rf build dist docs/api/generated $(VENV)/.installed-* $(VENV)/.developed
