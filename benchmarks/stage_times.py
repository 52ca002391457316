"""Run the pipeline and print how long each group of stages took: `python benchmarks/stage_times.py [dvc repro options]`."""

from __future__ import annotations

import re
import subprocess
import sys
import time


def main() -> int:
    """Run `dvc repro`, print `seconds stage` for each stage that ran and the total."""
    start = last = time.monotonic()
    name, spent = "", []
    process = subprocess.Popen(["dvc", "repro", *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        found = re.match(r"Running stage '([^']+)'", line)
        if found:
            now = time.monotonic()
            if name:
                spent.append((now - last, name))
            name, last = found[1], now
    code = process.wait()
    spent.append((time.monotonic() - last, name or "nothing to do"))
    groups: dict[str, tuple[float, int]] = {}
    for seconds, stage in spent:
        group = stage.split("@")[0]
        total, count = groups.get(group, (0.0, 0))
        groups[group] = (total + seconds, count + 1)
    for group, (total, count) in groups.items():
        print(f"{total:7.1f} s  {group} ({count})")
    print(f"{time.monotonic() - start:7.1f} s  total")
    return code


if __name__ == "__main__":
    sys.exit(main())
