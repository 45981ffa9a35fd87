# make demo   install from pinned versions into .venv and run the demo
# make test   install what the tests need, run the fast ones and the docstring examples; test-slow runs the others
# make lint   ruff and pyright;  make format puts the code into the form that lint expects
# make lock   renew requirements.txt (run time) and requirements-dev.txt (that and all a developer needs)

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo install dev test test-slow lint format lock clean

demo: install
	$(BIN)/demix-jax demo

install: $(VENV)/.installed

dev: $(VENV)/.installed-dev

test: dev
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile

test-slow: dev
	$(BIN)/python -m pytest -m slow

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it as in: make demo PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: $(VENV)/.created requirements.txt pyproject.toml
	$(PIP) install --quiet --require-hashes --requirement requirements.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(PIP) install --quiet --require-hashes --requirement requirements-dev.txt
	touch $@

# uv picks one version of a package for every platform and for Python 3.11 and newer. setuptools builds the package.
# The second call finds the first one's versions in its output file, and keeps them.
LOCK = echo setuptools | .venv-lock/bin/uv pip compile pyproject.toml - --quiet --universal --python-version 3.11 \
  --fork-strategy fewest --generate-hashes --no-emit-index-url --custom-compile-command "make lock"

lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	$(LOCK) --upgrade --extra dev --output-file requirements-dev.txt
	cp requirements-dev.txt requirements.txt
	$(LOCK) --output-file requirements.txt
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
