"""Run all benchmarks: nights, rebuilds, formats and reports, each against what stands beside it."""

import subprocess
import sys

MODULES = ("night", "rebuild", "formats", "render")

for module in MODULES:
    print(f"\nbenchmarks.{module}", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{module}"], check=True)
