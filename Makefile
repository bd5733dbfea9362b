# make setup | demo [SEED=n] | test | lint
SEED ?= 1
RUN := runs/demo$(if $(filter-out 1,$(SEED)),-seed$(SEED))
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' && echo $$p && break; done)
# A sourced ROS 2 brings its own rclpy; elsewhere the wheels of Jazzy come with the extra.
HAS_ROS := $(shell test -n "$(AMENT_PREFIX_PATH)" && $(PYTHON) -c 'import rclpy' 2>/dev/null && echo yes)
comma := ,
EXTRAS := sim,data,dev,test$(if $(HAS_ROS),,$(comma)ros)
GPU := $(shell nvidia-smi >/dev/null 2>&1 && echo yes)
SUDO := $(shell test "$$(id -u)" = 0 || echo 'sudo -n')

.PHONY: setup demo test lint
setup: .venv/ready

.venv/ready: setup.py constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.10 or newer is needed: apt install python3 python3-venv"; exit 2; }
	@ldconfig -p | grep -q libOSMesa || { $(SUDO) apt-get update -qq; $(SUDO) apt-get install -y -qq libosmesa6; } \
		|| echo "no software renderer: the simulated cameras need 'apt install libosmesa6'"
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(SUDO) apt-get install -y -qq python3-venv
	$(PYTHON) -m venv $(if $(HAS_ROS),--system-site-packages) .venv
	.venv/bin/pip install -q --upgrade pip 'setuptools<80' wheel
	.venv/bin/pip install -q $(if $(GPU),'torch>=2.4',torch==2.13.0 \
		|| .venv/bin/pip install -q torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu)
	.venv/bin/pip install -q $(if $(GPU),,-c constraints.txt) -e '.[$(EXTRAS)]'
	@touch $@

demo: setup
	rm -rf $(RUN) $(RUN)-demos $(RUN)-bc
	.venv/bin/hybrid-rl record --config config/sim_lift.yaml --set seed=$(SEED) --episodes 6 \
		--expert lift --noise 0.1 --out $(RUN)-demos
	# The encoder and the ratio that six demonstrations were measured with (benchmarks/README.md).
	.venv/bin/hybrid-rl train --config config/sim_lift.yaml --set seed=$(SEED) --set demos=$(RUN)-demos \
		--set encoder.kind=small --set sac.updates_per_step=6 --run $(RUN)
	.venv/bin/hybrid-rl report --run $(RUN)
	@echo "The figures: $(RUN)/summary.json   The page: $(RUN)/report.html"

test: setup
	# A graph that stood still (seen three times, not understood) is tried once more, and told; a wrong answer never is.
	.venv/bin/python -m pytest --reruns 1 --only-rerun TimeoutExpired -rR

lint: setup
	.venv/bin/ruff check .
	.venv/bin/lint-imports
	.venv/bin/mypy
