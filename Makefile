# make demo          the main job end to end on this machine; sets up all it needs
# make test          everything: make check, then the tests on real Slurm clusters, of both kinds
# make check         format, lint, types, and every test that needs no cluster
# make cluster-test  only the tests on a real Slurm cluster (Debian, as root)
# make soak          a run killed 30 times on a real Slurm cluster; prints a table (likewise)
# make docker-up     a Slurm cluster in containers; see docker/README.md
# make docker-test   the cluster tests on it, from its login container
# make docker-down   remove it
# make docs          the pages of docs/ as a site, in build/docs
# make bench         ours beside stock batchspawner and dask-jobqueue, on one cluster (likewise)

PYTHON ?= python3
VENV ?= .venv
SITE = $(or $(PANGEO_HPC_SITE),local)
PYTEST = $(VENV)/bin/python -m pytest
READY = $(VENV)/.ready-$(shell cksum pyproject.toml | cut -d ' ' -f 1)

.PHONY: demo test check cluster-test docker-up docker-test docker-down docs bench soak format clean
.NOTPARALLEL:
.DEFAULT_GOAL := check

demo: $(READY)
	$(VENV)/bin/pangeo-hpc --site $(SITE) demo $(ARGS)

test: check docker-test docker-down cluster-test

# A test that fails on a busy machine is run once more, here and below, and the summary says so.
check: $(READY)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(PYTEST) --ignore=tests/cluster --numprocesses=2 --dist=worksteal --reruns=1 --quiet $(ARGS)

# Three clusters side by side, since their tests mostly wait.
cluster-test: $(READY)
	$(PYTEST) tests/cluster --timeout=600 --durations=15 --numprocesses=3 --dist=loadfile --reruns=1 $(ARGS)

docker-up docker-down:
	$(PYTHON) -m tests.cluster.containers $(@:docker-%=%)

docker-test:
	$(PYTHON) -m tests.cluster.containers test -- $(ARGS)

docs: $(READY)
	$(VENV)/bin/python -m sphinx -W --keep-going -q docs build/docs
	@echo "build/docs/index.html"

bench: $(READY)
	set -e; for each in benchmarks/[a-z]*.py; do \
		echo "== $$each"; $(VENV)/bin/python -m benchmarks.$$(basename $$each .py) $(ARGS); done

soak: $(READY)
	PANGEO_HPC_KILLS=$(or $(KILLS),30) $(PYTEST) tests/cluster/test_workflow_kills.py --capture=no $(ARGS)

format: $(READY)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# A fresh Debian has Python without venv; everybody else has it.
$(READY):
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or later is needed")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { [ "$$(id -u)" = 0 ] || \
		{ echo "Python's venv is missing: install python3-venv, or ask your administrator"; exit 1; }; \
		apt-get --quiet update && apt-get --quiet --yes install python3-venv; }
	@echo "making $(VENV): about a minute, once"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --editable '.[all,dev]'
	@rm -f $(VENV)/.ready-*
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
