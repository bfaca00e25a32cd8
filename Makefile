PYTHON ?= python3
BIN := .venv/bin
MODEL := smollm2-135m-instruct
# A file's tests share what is dear to start, and so one process; in the order of the tree the small files come last.
IN_TWO := -n 2 --dist loadfile --no-loadscope-reorder
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run tour test test-models test-learning test-system check protos bench bench-model bench-inference bench-fleet bench-updates bench-privacy bench-receipts bench-learning bench-calibration bench-semantic package lock model broker postgres clean

run: .venv/tour.stamp model  ## set everything up on this machine, take the tour, stay up until Ctrl-C
	@exec $(BIN)/python -m tour $(ARGS)

tour: .venv/tour.stamp model  ## the same, and exit; the last line is JSON
	@exec $(BIN)/python -m tour --exit $(ARGS)

model: .venv/tour.stamp
	@$(BIN)/seawall-models build $(MODEL)

broker:
	@$(PYTHON) -m tour.broker

postgres: .venv/dev.stamp
	@$(BIN)/python -m tests.fakes.postgres

test: .venv/dev.stamp model broker postgres  ## every test that fits in ten minutes on two cores
	$(BIN)/pytest -m "not system" $(IN_TWO) $(ARGS)

test-system: .venv/dev.stamp model broker postgres  ## the long ones
	$(BIN)/pytest -m system --timeout=3600 $(ARGS)

test-models: .venv-models/stamp  ## the route through optimum, in a venv of its own
	.venv-models/bin/pytest tests/models_extra $(ARGS)

test-learning: .venv-learning/stamp  ## the privacy account beside dp-accounting, in a venv of its own
	.venv-learning/bin/python -m pytest tests/learning_extra $(ARGS)

test-conformance: .venv/dev.stamp .venv-conformance/stamp  ## TUF's public suite, in a venv of its own; needs git and faketime
	tests/conformance/run $(ARGS)

check: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint protos
	protos/generate.sh --check

protos: .venv/dev.stamp
	protos/generate.sh

bench: bench-model bench-inference bench-fleet

bench-model: .venv/dev.stamp model  ## perplexity, agreement, tokens a second
	$(BIN)/seawall-models evaluate build/models/$(MODEL)-int8

bench-inference: .venv/dev.stamp model  ## the decoder beside llama.cpp
	$(BIN)/python -m benchmarks.inference $(ARGS)

bench-fleet: .venv/dev.stamp  ## 10,000 agents on one hub beside a bare echo server: make bench-fleet ARGS="--agents 500"
	@$(BIN)/python -m benchmarks.fleet $(ARGS)

bench-updates: .venv/dev.stamp model  ## bytes on the wire, resumption, eight agents at once
	$(BIN)/python -m benchmarks.updates $(ARGS)

bench-receipts: .venv/dev.stamp  ## appending to a log of a million receipts, and verifying it
	$(BIN)/python -m benchmarks.receipts $(ARGS)

bench-privacy: .venv-privacy/stamp  ## what the detector finds, beside Presidio: make bench-privacy ARGS="--data FILE.jsonl"
	@.venv-privacy/bin/python -m benchmarks.privacy $(ARGS)

bench-learning: .venv/dev.stamp  ## secure sums beside Flower's SecAgg+: a device's milliseconds, the hub's seconds; a real round
	@$(BIN)/python -m benchmarks.learning $(ARGS)

bench-calibration: .venv/dev.stamp  ## what a fleet learns of its confidence, beside all answers in one place; what garbage and noise do to it
	@$(BIN)/python -m benchmarks.calibration $(ARGS)

bench-semantic: .venv/dev.stamp  ## which questions the cache takes for the same, beside a bare threshold: make bench-semantic ARGS="--data FILE.jsonl"
	@$(BIN)/python -m benchmarks.semantic $(ARGS)

package: .venv-package/stamp  ## a device's .debs, and the wheel, in dist/: make package ARCH=arm64 PACKAGE=agent
	@.venv-package/bin/python packaging/deb/build.py --arch=$(ARCH) --package=$(PACKAGE)

lock:
	requirements/lock.sh

clean:
	rm -rf .venv .venv-conformance .venv-learning .venv-models .venv-broker .venv-package .venv-privacy .seawall build dist

.venv/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Seawall needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/tour.stamp: .venv/python.stamp requirements/tour.txt requirements/build-backend.txt pyproject.toml
	@echo "Installing the locked packages into .venv: the first time takes about a minute."
	$(BIN)/pip install --require-hashes -r requirements/tour.txt -r requirements/build-backend.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: .venv/tour.stamp requirements/dev.txt
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

.venv-package/stamp: requirements/package.txt requirements/build-backend.txt
	$(PYTHON) -m venv .venv-package
	.venv-package/bin/pip install --quiet --require-hashes -r requirements/package.txt -r requirements/build-backend.txt
	@touch $@

.venv-conformance/stamp: requirements/conformance.txt
	$(PYTHON) -m venv .venv-conformance
	.venv-conformance/bin/pip install --quiet --require-hashes -r requirements/conformance.txt
	@touch $@

.venv-privacy/stamp: requirements/privacy.txt requirements/build-backend.txt
	@echo "Installing Presidio and spaCy into .venv-privacy: a minute the first time."
	$(PYTHON) -m venv .venv-privacy
	.venv-privacy/bin/pip install --quiet --require-hashes -r requirements/privacy.txt -r requirements/build-backend.txt
	.venv-privacy/bin/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv-learning/stamp: requirements/learning.txt
	@echo "Installing dp-accounting into .venv-learning: a minute or two the first time."
	$(PYTHON) -m venv .venv-learning
	.venv-learning/bin/pip install --quiet --require-hashes -r requirements/learning.txt
	@touch $@

.venv-models/stamp: requirements/models.txt requirements/build-backend.txt
	@echo "Installing PyTorch and optimum into .venv-models: a few minutes the first time."
	$(PYTHON) -m venv .venv-models
	.venv-models/bin/pip install --quiet torch==2.13.0
	.venv-models/bin/pip install --quiet --require-hashes -r requirements/models.txt -r requirements/build-backend.txt
	.venv-models/bin/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
