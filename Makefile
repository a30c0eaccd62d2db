# make demo    the main job: three parties with mutual TLS on this machine; with DEMO='-n 4 --malicious'
#              four, of which one may do anything
# make test    everything CI runs
# make coverage   the tests once more, and which lines they have run
# make flower  the tests inside Flower, which is large and not among the others' packages
# make fuzz    10,000 drawn attacks on each listener
# make kills   300 signals at random moments to each kind of process
# make numpy   the calls of NumPy's own tests and the Array API's on secrets: writes docs/numpy.md.  Clones the
#              latter, unless ARRAY_API_TESTS=path says where they are
# make drawn   6,000 drawn programs, over 32, 64 and 128 bits, on 2 and 3 parties: none is wrong in silence
# make docs    the documentation site in build/site, its tutorials run; a warning is an error
# make dist    packages in build/dist, and a list of what is inside; of the same sources, by the same tools,
#              wheels are the same bytes
# make soak    50,000 operations over TCP and 200 sessions in a row: nothing grows

PYTHON ?= python3
DEMO ?= -n 3
VENV := .venv
BIN := $(VENV)/bin
ARRAY_API_TESTS ?= build/array-api-tests
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test flower fuzz kills numpy drawn soak docs dist coverage lint clean

demo: $(VENV)/installed
	@$(BIN)/mpc run examples/joint_statistics.py $(DEMO)

test: $(VENV)/installed-for-tests lint
	@$(BIN)/python -m compileall -q mpc protocols
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal --durations 20

flower: $(VENV)/installed-for-tests
	$(PIP) --editable '.[flower]'
	$(BIN)/python -m pytest tests/test_flower.py

fuzz: $(VENV)/installed-for-tests
	MPC_FUZZ_CASES=10000 $(BIN)/python -m pytest -s --timeout 0 tests/test_fuzz_*.py

kills: $(VENV)/installed-for-tests
	MPC_KILLS=300 $(BIN)/python -m pytest --numprocesses auto tests/test_kills.py
	MPC_KILLS=300 $(BIN)/python -m pytest -s --timeout 0 tests/test_kills_aggregation.py

numpy: $(VENV)/installed-for-tests $(ARRAY_API_TESTS)
	$(PIP) --requirement $(ARRAY_API_TESTS)/requirements.txt
	$(BIN)/python docs/surface.py --array-api $(ARRAY_API_TESTS)

$(ARRAY_API_TESTS):
	git clone --quiet --recurse-submodules https://github.com/data-apis/array-api-tests $@

drawn: $(VENV)/installed-for-tests
	MPC_DRAWN_PROGRAMS=1000 $(BIN)/python -m pytest -s --timeout 0 tests/test_drawn.py

soak: $(VENV)/installed-for-tests
	MPC_SOAK=1 $(BIN)/python -m pytest -s --timeout 0 tests/test_soak.py

docs: $(VENV)/installed
	$(PIP) --editable '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/site

dist: $(VENV)/installed
	$(PIP) --editable '.[dist]'
	rm -rf build/dist build/inside
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --outdir build/dist
	$(PYTHON) -m venv build/inside
	build/inside/bin/python -m pip install --quiet --disable-pip-version-check build/dist/*.whl
	$(BIN)/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
		--output-file build/dist/mpc-engine.cdx.json build/inside/bin/python

coverage: $(VENV)/installed-for-tests
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest --numprocesses auto --dist worksteal
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered

lint: $(VENV)/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml
	@echo "installing into $(VENV), which takes a minute"
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-for-tests: $(VENV)/installed
	$(PIP) --editable '.[test]'
	@touch $@

clean:
	rm -rf build/site build/dist build/inside $(VENV) .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
