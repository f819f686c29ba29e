# Everything from a bare clone. Python 3.11 or newer is all it needs.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 4000
CONFIG ?=
WORKERS ?=
BIN := .venv/bin
NPM := .cache/npm

.PHONY: serve demo test lint bench setup setup-dev node-tools openai-tests lock clean

serve: setup
	exec $(BIN)/python manage.py up --host $(HOST) --port $(PORT) $(if $(CONFIG),--config $(CONFIG)) $(if $(WORKERS),--workers $(WORKERS))

demo: setup-dev
	exec $(BIN)/python -m tests.demo --host $(HOST) --port $(PORT) $(if $(WORKERS),--workers $(WORKERS))

test: setup-dev node-tools openai-tests
	$(BIN)/python -m tests.requirements
	$(BIN)/python -m pytest -n auto --dist loadgroup $(ARGS)

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/djlint templates --lint --quiet
	PORTICO_DATA_DIR=.cache/lint $(BIN)/python manage.py makemigrations --check --dry-run
	PORTICO_DATA_DIR=.cache/lint $(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null

bench: setup-dev
	$(BIN)/python -m benchmarks $(ARGS)

setup: $(BIN)/.installed

setup-dev: $(BIN)/.installed-dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Portico needs Python 3.11 or newer; set PYTHON=path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

$(BIN)/.installed: requirements.lock | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(BIN)/.installed-dev: tests/requirements.lock | $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/requirements.lock
	@touch $@

# Azurite, axe-core and clients come from npm where there is one; without it their tests are skipped with one line.
node-tools:
	@if command -v npm >/dev/null; then \
		if ! cmp -s tests/node/package-lock.json $(NPM)/package-lock.json || [ ! -f $(NPM)/.installed ]; then \
			mkdir -p $(NPM) && cp tests/node/package.json tests/node/package-lock.json $(NPM)/ && \
			(cd $(NPM) && npm ci --no-audit --no-fund --loglevel=error >/dev/null && touch .installed); \
		fi; \
	fi

# The openai package's own tests come with its source only, which the lock knows too.
openai-tests: setup-dev
	@version=$$($(BIN)/python -c 'from importlib.metadata import version; print(version("openai"))'); \
	if [ ! -d .cache/openai/openai-$$version/tests ]; then \
		mkdir -p .cache/openai && \
		sed -n '/^openai==/,/[^\\]$$/p' tests/requirements.lock > .cache/openai/requirements.txt && \
		$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary openai \
			--require-hashes -r .cache/openai/requirements.txt -d .cache/openai && \
		tar xzf .cache/openai/openai-$$version.tar.gz -C .cache/openai || true; \
	fi

lock: setup-dev
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --extra dev -c requirements.lock pyproject.toml -o tests/requirements.lock

clean:
	rm -rf .venv .cache data
