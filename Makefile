# Everything a person does with the project, in short commands; `make help` lists them.
# Needs only make, git and Python 3.11 or newer; the rest goes into .venv.

PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
RUN := .venv/bin/python
PYTEST := $(RUN) -m pytest -n auto --dist loadscope --no-loadscope-reorder --durations 25
EVERYTHING := .[dev,bench]
# Passed on to the program that a target runs: make demo ARGS="--seconds 5 --json out.json"
ARGS ?=
# Some images set it; then each of the thousand processes of the tests would compile all it imports.
unexport PYTHONDONTWRITEBYTECODE

# Runs pip and names each package as its turn comes; the whole story stays in .venv/install.log.
define install
	@test -n "$(PYTHON)" || { echo "streamlstm needs Python 3.11 or newer, none was found; \
	say where it is: make PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(RUN) || echo "Making .venv with $(PYTHON)"
	@test -x $(RUN) || $(PYTHON) -m venv .venv
	@printf 'Installing into .venv:'
	@{ $(RUN) -m pip install --disable-pip-version-check --no-input -e "$(1)" 2>&1 || echo FAILED; } \
	| tee .venv/install.log | { failed=; while read -r word name rest; do case "$$word" in \
	Collecting) printf ' %s' "$${name%%[<>=~!;[]*}" ;; FAILED) failed=1 ;; \
	Processing) case "$$name" in *.whl) name=$${name##*/}; printf ' %s' "$${name%%-*}" ;; esac ;; \
	Installing) test "$$name" != collected || printf '; unpacking' ;; \
	esac; done; echo; \
	test -z "$$failed" || { tail -n 15 .venv/install.log >&2; exit 1; }; }
	@touch $@
endef

.DEFAULT_GOAL := help
.PHONY: demo test test-all test-cuda lint format bench instructions regressions figures architecture docs train-host golden live release clean help

demo: .venv/.base  ## Predict this machine's next second, live (ARGS="--seconds 5 --json out.json")
	@$(RUN) workers/demo.py $(ARGS)

live: .venv/.web  ## The same in a browser, at http://127.0.0.1:7480 (ARGS="--seconds 60")
	@$(RUN) workers/demo.py --web 7480 $(ARGS)

test: .venv/.dev  ## Test every feature, within minutes (ARGS="-k engine" for a part of it)
	@$(PYTEST) -m "not exhaustive" $(ARGS)

test-all: .venv/.all  ## Run every test, against PyTorch and ONNX Runtime too, which it installs
	@$(PYTEST) -m "not short" $(ARGS)

test-cuda: .venv/.dev  ## Run the tests of the cuda backend on an NVIDIA GPU: pip install -e ".[cuda]"
	@$(RUN) -m tests.cuda $(ARGS)

lint: .venv/.dev  ## Check format, style and types: ruff and mypy
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

format: .venv/.dev  ## Bring all files into the house's format
	@$(RUN) -m ruff format .
	@$(RUN) -m ruff check --fix .

bench: .venv/.dev  ## Run the benchmarks, peers too where installed: pip install -e ".[bench]"
	@mkdir -p benchmarks/results
	@$(RUN) -m benchmarks.kernels --json benchmarks/results/kernels.json
	@$(RUN) -m benchmarks.widths --json benchmarks/results/widths.json
	@$(RUN) -m benchmarks.streams --json benchmarks/results/streams.json
	@$(RUN) -m benchmarks.layers --json benchmarks/results/layers.json
	@$(RUN) -m benchmarks.windows --json benchmarks/results/windows.json
	@$(RUN) -m benchmarks.sequences --json benchmarks/results/sequences.json
	@$(RUN) -m benchmarks.startup --json benchmarks/results/startup.json
	@$(RUN) -m benchmarks.training --json benchmarks/results/training.json
	@$(RUN) -m benchmarks.tables --json benchmarks/results/tables.json
	@$(RUN) -m benchmarks.serving --json benchmarks/results/serving.json
	@$(RUN) -m benchmarks.fairness --json benchmarks/results/fairness.json

instructions: .venv/.dev  ## Count the kernels' instructions and compare with the recorded counts; needs valgrind
	@$(RUN) -m benchmarks.instructions --check benchmarks/results/instructions.json $(ARGS)

regressions: .venv/.dev  ## Compare two commits side by side: what got slower? (ARGS="main HEAD --only kernels")
	@$(RUN) -m benchmarks.regressions $(or $(ARGS),HEAD)

figures: .venv/.base  ## Write the tables of the last benchmarks into README.md, docs/figures.md and docs/online.md
	@$(RUN) -m benchmarks.readme

architecture: .venv/.base  ## Draw the packages and their imports into docs/architecture.md
	@$(RUN) -m docs.architecture

docs: .venv/.dev  ## Build the documentation as a site in build/site
	@NO_MKDOCS_2_WARNING=1 $(RUN) -W ignore -m mkdocs build $(ARGS)

train-host: .venv/.base  ## Train the shipped model from the recording in examples/data
	@mkdir -p streamlstm/models
	@$(RUN) -m streamlstm train examples/data/host.csv.gz --target value --stream-column stream \
	--horizon 10 --hidden 32 --delta 0.1 --shift 0 --batch 32 --window 64 --rate 0.003 --epochs 60 --seed 0 \
	--train-fraction 0.8 --out streamlstm/models/host.safetensors $(ARGS)

golden: .venv/.dev  ## Make the golden files again; needs the packages that they come from
	@for program in tests/golden/make_*.py; do echo $$program; $(RUN) $$program || exit 1; done

release: .venv/.dev  ## Make a wheel and an sdist in dist/, and try the wheel on each Python that is found
	@$(RUN) -m tests.release $(ARGS)

clean:  ## Remove .venv and everything that was built
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

help:  ## Show this list
	@echo "make TARGET, where TARGET is one of:"
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
	printf '  %-14s%s\n' "$$name" "$$text"; done

.venv/.base: pyproject.toml
	$(call install,.)

.venv/.web: pyproject.toml
	$(call install,.[web])
	@touch .venv/.base

.venv/.dev: pyproject.toml
	$(call install,.[dev])
	@touch .venv/.base .venv/.web

.venv/.all: pyproject.toml
	$(call install,$(EVERYTHING))
	@touch .venv/.base .venv/.web .venv/.dev
