# The README's two commands first; each target sets up what it needs.
.PHONY: demo test test-spark install lint bench fuzz catalogues sample airflow system-packages clean

PYTHON ?= python3
BIN := .venv/bin
# WeasyPrint draws with Pango; the tests start a PostgreSQL server and open pages in Chromium.
SYSTEM_PACKAGES := libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 postgresql chromium poppler-utils openjdk-17-jre-headless

demo: install  ## simulate a credential platform and run its nights and reports through Airflow, into .demo/
	@$(BIN)/python -m demo

test: .venv/servers  ## the whole test suite
	@$(BIN)/python -m pytest -n 2 --dist loadfile

test-spark: .venv/servers  ## every question on Apache Spark with two workers, too; some minutes
	@SPARK_QUESTIONS=all $(BIN)/python -m pytest tests/test_spark.py tests/test_spark_cluster.py

install: .venv/installed  ## the environment in .venv

.venv/installed: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/python -m uv sync --quiet --frozen --inexact --extra airflow-postgres
	@$(BIN)/python -c 'import weasyprint' 2>/dev/null || $(MAKE) --no-print-directory system-packages
	@touch $@

# Spark and Sail are half a gigabyte, which the demo does without.
.venv/servers: .venv/installed
	@$(BIN)/python -m uv sync --quiet --frozen --inexact --extra airflow-postgres --group servers
	@touch $@

lint: .venv/servers  ## ruff, mypy and sqlfluff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/sqlfluff lint sql --disable-progress-bar --processes 2

bench: .venv/servers  ## speed and memory beside the bare libraries, on the same data in the same run
	@$(BIN)/python -m benchmarks

fuzz: install  ## 100,000 damaged files of all formats, held against a plain parser; some 25 minutes
	@PYTHONPATH=. $(BIN)/python tests/fuzz.py

catalogues: install  ## the sentences of the templates in each file of report_templates/locale, for translators
	@$(BIN)/pybabel --quiet extract -F pyproject.toml --no-location -o .venv/report.pot .
	@for catalogue in report_templates/locale/*.po; do \
		$(BIN)/pybabel --quiet update -i .venv/report.pot -o $$catalogue -l $$(basename $$catalogue .po) --no-wrap --ignore-obsolete --no-fuzzy-matching; \
		sed -i '/^"\(Project-Id-Version\|Report-Msgid\|POT-\|PO-\|Last-\|Language-Team\|Generated\)/d' $$catalogue; \
	done

sample: install  ## the report of the demo in docs/sample/, from the demo's figures
	@test -d .demo/landing/reports || $(MAKE) --no-print-directory demo
	@$(BIN)/python -m demo.sample

airflow: install  ## Airflow's UI over the demo's data, on loopback
	@$(BIN)/python -m demo.airflow

system-packages:  ## Debian's packages that pip cannot bring
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		dpkg -s $(SYSTEM_PACKAGES) >/dev/null 2>&1 || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(SYSTEM_PACKAGES) >/dev/null; }; \
	else \
		echo "This machine lacks system packages; install them, then try again: $(SYSTEM_PACKAGES)" >&2; exit 1; \
	fi

clean:
	@rm -rf .venv .demo
