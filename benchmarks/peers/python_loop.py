"""Python's standard library: read line by line, and count in a dictionary of sets."""

import json
import sys
from collections import defaultdict
from pathlib import Path

found = defaultdict(set)
with Path(sys.argv[1]).open(encoding="utf-8") as lines:
    for line in lines:
        event = json.loads(line)
        found[event["certificate_id"], event["event"]].add(event["recipient_id"])
print(len(found), sum(map(len, found.values())))
