# make app     set up what is missing, start the app on http://127.0.0.1:8501
# make setup   set up only: .venv, the app's packages, the embedded model converted
# make test    the whole test suite, with a browser where there is one; ARGS="-k jobs"
# make fast    the tests without checkpoints and browsers
# make lint    ruff and mypy
# make transformers4    the older transformers that exports must open in, beside .venv
# make clean   remove .venv and what tools left (not your exports, not ~/.cache/llmrank)
#
# Another Python than python3: make app PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

# Each stamp is made last: an interrupted set-up leaves none and is taken up again.
APP_READY := .venv/app-ready
DEV_READY := .venv/dev-ready

# It shares torch and the rest with .venv, whose folder stands last on its path.
OLDER := .venv-transformers4
OLDER_READY := $(OLDER)/ready

.PHONY: app setup test fast lint transformers4 clean

app: $(APP_READY)
	$(BIN)/streamlit run app.py

setup: $(APP_READY)

# Processes of one thread each: twice as fast as one of two on two cores. One more where
# browsers are waited for.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --dist loadfile

test: $(DEV_READY)
	$(PYTEST) -n 3 $(ARGS)

fast: $(DEV_READY)
	$(PYTEST) -n 2 -m "not slow and not browser" $(ARGS)

lint: $(DEV_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

transformers4: $(OLDER_READY)

clean:
	rm -rf .venv $(OLDER) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(APP_READY): requirements.txt requirements-demo.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: \
	install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
	"$(PYTHON) is Python %d.%d, and 3.11 or newer is needed; if you have one, name \
	it: make PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps -r requirements-demo.txt
	$(BIN)/python -m llmrank prepare
	@touch $@

$(DEV_READY): $(APP_READY) requirements-dev.txt
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt
	@touch $@

PACKAGES := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'

$(OLDER_READY): $(DEV_READY) requirements-transformers4.txt
	$(BIN)/python -m venv $(OLDER)
	$(BIN)/python $(PACKAGES) > "$$($(OLDER)/bin/python $(PACKAGES))/shared.pth"
	$(OLDER)/bin/python -m pip install --disable-pip-version-check --no-deps -r requirements-transformers4.txt
	@touch $@
