# Two commands do everything: `make demo` and `make test`. Both build their own environment first.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
ZOO    := $(VENV)/.zoo

.PHONY: demo test test-all check format types imports docs zoo bench browser spice clean help

help:
	@echo "make demo      install, train a small network on real digits, run it on ISAAC, write the report"
	@echo "make test      everything that CI checks: format, lint, types, import order, docs, tests"
	@echo "make test-all  the same and the slow suite: the zoo of other people's architectures, full-size networks"
	@echo "make bench     speed, as ratios measured in one run"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Crossloom needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(ZOO): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt transformers
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps torchvision timm
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt huggingface_hub safetensors pyyaml pillow
	@touch $@

demo: $(STAMP)
	$(BIN)/crossloom demo

# The report is read in a real browser, and circuits are solved a second time by SPICE. Debian's Chromium and ngspice are installed where they
# are missing and that is permitted.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || command -v chromium-browser >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install chromium >/dev/null; } \
	|| echo "No Chromium found and none could be installed: the tests that open the report will be skipped. Install the package chromium."

spice:
	@command -v ngspice >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install ngspice >/dev/null; } \
	|| echo "No ngspice found and none could be installed: the tests that ask it will be skipped. Install the package ngspice."

check: $(STAMP)
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format src tests benchmarks examples
	$(BIN)/ruff check --fix src tests benchmarks examples

docs: $(STAMP)
	$(BIN)/sphinx-build -q -W -b html docs docs/_build/html

# The suite of ONNX's own node tests runs by itself, so that its count is printed whole.
test: $(STAMP) browser spice check docs
	$(BIN)/python -m pytest tests/test_onnx_node_suite.py
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/test_onnx_node_suite.py

zoo: $(ZOO)
	$(BIN)/python -m pytest -m slow tests/test_zoo.py

test-all: test $(ZOO)
	$(BIN)/python -m pytest -m slow

bench: $(STAMP)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
