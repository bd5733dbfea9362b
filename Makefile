# make setup | demo [SEED=n] | test | test-long | lint | test-kilted (the graph on another ROS distribution, and across the two)
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

GRAPHS := test/ros test/nodes test/faults test/launch test/test_doctor.py
# A command that took too long on a starved machine is tried again, and told; and what failed in a test marked real_time
# while the machine itself stood still (test/machine_stalls.py).
TRIED_AGAIN := --reruns 4 --reruns-delay 5 --only-rerun 'TimeoutExpired|MachineStallError' -rR

.PHONY: setup setup-kilted demo test test-long test-kilted lint
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

setup-kilted: .venv-kilted/ready

# Kilted's rclpy and messages before everything of .venv, for the tests of the graph and across the two.
.venv-kilted/ready: .venv/ready
	$(PYTHON) -m venv .venv-kilted
	.venv-kilted/bin/pip install -q --upgrade pip
	.venv-kilted/bin/pip install -q $$(.venv/bin/python -c "t = open('setup.py').read(); \
		n = {}; exec(t[t.index('ROS_MESSAGES'):t.index('def share')], n); print(*n['ros_wheels']('9.1.2', '5.5.1'))")
	@rest=$$(.venv/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))"); \
		own=$$(.venv-kilted/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))"); \
		printf '%s\n' "$$rest" "$$rest/cmeel.prefix/$${rest#*.venv/}" "$(CURDIR)" > $$own/zz_rest.pth
	@touch $@

# What of the suite depends on rclpy, and a run that is half of the one and half of the other distribution.
test-kilted: setup-kilted
	.venv-kilted/bin/python -m pytest -m 'not slow and not long' $(TRIED_AGAIN) $(filter-out test/launch,$(GRAPHS))
	HYBRID_RL_OTHER_PYTHON=$(CURDIR)/.venv-kilted/bin/python .venv/bin/python -m pytest \
		$(TRIED_AGAIN) test/nodes/test_two_distributions.py

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
	@# One process each side by side; then the graphs, of seven processes each, one after the other.
	@failed=; \
	.venv/bin/python -m pytest -m 'not long' $(TRIED_AGAIN) -n 2 --dist worksteal $(GRAPHS:%=--ignore=%) || failed=yes; \
	.venv/bin/python -m pytest -m 'not long' --durations=20 $(TRIED_AGAIN) $(GRAPHS) || failed=yes; \
	test -z "$$failed"

# Two machines, several processes, what learns for half a minute: too long for every change.
test-long: setup
	.venv/bin/python -m pytest -m long $(TRIED_AGAIN) -rs

lint: setup
	.venv/bin/ruff check .
	.venv/bin/lint-imports
	.venv/bin/mypy
