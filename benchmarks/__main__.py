"""Run all benchmarks: a night against a bare load, each format against a bare read, reports against bare WeasyPrint."""

import subprocess
import sys

for module in ("benchmarks.night", "benchmarks.formats", "benchmarks.render"):
    print(f"\n{module}", flush=True)
    subprocess.run([sys.executable, "-m", module], check=True)
