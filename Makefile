# Everything that a newcomer needs, from a bare machine with python3, python3-venv, make and git.
#   make demo                                   the embedded stack, the sample photos, what was seen in them
#   make demo ARGS="--photos ~/Pictures"        the same with photos of your own
#   make PYTHON=python3.12 demo                 with another Python than python3

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
export SAFELIGHT_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/safelight
export UV_CACHE_DIR ?= $(SAFELIGHT_CACHE)/uv
# onnxruntime from 1.29 on reports what it runs to its maker unless told not to.
export ORT_DISABLE_TELEMETRY := 1
UV := $(VENV)/bin/uv
INSTALL := $(UV) pip install $(shell test -t 2 || echo --quiet) --python $(RUN)

.PHONY: help demo up test bench lint lock setup clean
help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: setup  ## start everything, look at the sample photos, say where the page is; Ctrl-C ends it (ARGS=--help)
	@$(RUN) -m ops demo $(ARGS)

up: setup  ## start everything and stay up; Ctrl-C ends it (ARGS=--help)
	@$(RUN) -m ops up $(ARGS)

test: $(VENV)/.test  ## the whole suite, against real servers (ARGS="tests/unit -k kafka" for a part)
	@$(RUN) -m pytest $(ARGS)

bench: $(VENV)/.test  ## measure a first and a second demo, and 500 photos, into ops/docs/bench.md
	@$(RUN) -m tests.bench.first_light

lint: $(VENV)/.test  ## ruff, mypy --strict, import-linter
	@$(RUN) -m ruff check . && $(RUN) -m ruff format --check . && $(RUN) -m mypy && $(VENV)/bin/lint-imports

# The lock of the tests first: the other is a part of it, so both have one set of versions.
lock: $(VENV)/.test  ## pin what pyproject.toml allows; newer versions than the pinned with ARGS=--upgrade
	@$(LOCK) --universal --python-version 3.11 --all-extras pyproject.toml -o ops/lock-dev.txt $(ARGS)
	@$(LOCK) --universal --python-version 3.11 --extra worker --extra embedded -c ops/lock-dev.txt pyproject.toml -o ops/lock.txt $(ARGS)
	@$(LOCK) --no-deps --only-binary :all: --python-version 3.11 --python-platform x86_64-manylinux_2_35 \
	  ops/stack/triton.in -o ops/stack/triton.lock $(ARGS)
	@$(RUN) -m ops.stack.maven $(KAFKA) > $(VENV)/kafka.lock && cp $(VENV)/kafka.lock ops/stack/kafka.lock
LOCK := $(UV) pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url
KAFKA := org.apache.kafka:kafka_2.13:4.4.0 org.apache.logging.log4j:log4j-slf4j-impl:2.25.5

clean:  ## remove .venv and what earlier runs left; the downloads stay in the cache
	@rm -rf $(VENV) .safelight

setup: $(VENV)/.safelight  ## fetch and install all that is missing
	@:

# A cache that was removed is fetched again, though nothing that it depends on is newer.
ifneq ($(shell test -d "$(SAFELIGHT_CACHE)" && echo there),there)
$(VENV)/.safelight: FORCE
endif
FORCE:

$(VENV)/.safelight: ops/lock.txt pyproject.toml ops/stack/kafka.lock ops/stack/triton.lock ops/stack/triton-python.lock
	@$(PYTHON) ops/preflight.py
	@test -x $(RUN) || $(PYTHON) -m venv --clear $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' ops/lock-dev.txt > $(VENV)/uv.txt
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r $(VENV)/uv.txt
	@echo "Python packages …"
	@$(INSTALL) --require-hashes -r ops/lock.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@$(RUN) -m ops.stack.downloads
	@touch $@

$(VENV)/.test: $(VENV)/.safelight ops/lock-dev.txt
	@$(PYTHON) ops/preflight.py test
	@$(INSTALL) --require-hashes -r ops/lock-dev.txt
	@touch $@
