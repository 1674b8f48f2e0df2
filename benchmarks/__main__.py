"""What `make bench` runs: a night beside a bare load, every format beside a bare read, reports beside bare WeasyPrint."""

import subprocess
import sys

for module in ("benchmarks.night", "benchmarks.formats", "benchmarks.render"):
    print(f"\n{module}", flush=True)
    subprocess.run([sys.executable, "-m", module], check=True)
