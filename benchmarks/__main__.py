"""Run all benchmarks: nights, long histories, engines, other tools, Airflow, rebuilds, formats, reports. It takes some hours."""

import subprocess
import sys

MODULES = ("night", "growth", "engines", "others", "airflow_night", "rebuild", "formats", "render")

for module in MODULES:
    print(f"\nbenchmarks.{module}", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{module}"], check=True)
