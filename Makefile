# make demo   install from pinned versions into .venv and run the demo
# make test   install what the tests need and run the fast ones; test-slow runs the others
# make lint   ruff and pyright;  make format puts the code into the form that lint expects
# make lock   renew requirements.txt and requirements-dev.txt from pyproject.toml

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
	$(PIP) install --quiet --requirement requirements.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(PIP) install --quiet --requirement requirements-dev.txt
	touch $@

# A fresh environment takes the newest versions that pyproject.toml allows; `pip freeze` writes them down.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade setuptools .
	.venv-lock/bin/python -m pip freeze --all --exclude pip --exclude demix_jax > .venv-lock/run.txt
	.venv-lock/bin/python -m pip install --quiet '.[dev]'
	.venv-lock/bin/python -m pip freeze --all --exclude pip --exclude demix_jax > .venv-lock/all.txt
	{ echo '# Everything needed at run time and to build the package, pinned; made by `make lock`.'; \
	  sed '/^uvloop==/s/$$/ ; sys_platform != "win32"/' .venv-lock/run.txt; } > requirements.txt
	{ echo '# What tests, lint and notebooks need on top, pinned; made by `make lock`.'; \
	  echo '-r requirements.txt'; grep -vxFf .venv-lock/run.txt .venv-lock/all.txt; } > requirements-dev.txt
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
