"""Is every number what an independent implementation says? Metrics and calibrators beside references, on random cases.

    python -m benchmarks.parity [--quick] [--json FILE] [--only TEXT]

1,000 cases each (--quick: 100) with ties, weights, single classes, empty and single-row queries. One record per metric
and reference; exit status 1 if one is further away than its tolerance. Undefined (NaN) must be undefined there too.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

from benchmarks import _parity_calibrators, _parity_metrics
from benchmarks._parity import compare

CASES = [*_parity_metrics.CASES, *_parity_calibrators.CASES, *_parity_calibrators.PACKAGES]
HEAD = "| metric | reference | cases | largest difference | allowed |\n|---|---|---|---|---|"


def main() -> int:
    """Prints the table in Markdown and, where asked, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # references warn where they are undefined
    records = []
    print(HEAD, flush=True)
    for case in CASES:
        if arguments.only in case.name:
            records.append(compare(case, range(100 if arguments.quick else 1000)))
            print(_line(records[-1]), flush=True)
            if arguments.json:  # after each case: what is done is done
                arguments.json.write_text(json.dumps(records, indent=1) + "\n")
    return 0 if records and all(record["within"] for record in records) else 1


def _line(record: dict) -> str:
    largest = record["max_abs_difference"]
    shown = "undefined on one side only" if largest is None else f"{largest:.1e}"
    mark = "" if record["within"] else " **outside**"
    return (
        f"| `{record['name']}` | {record['reference']} | {record['num_cases']:,} | {shown}{mark} | "
        f"{record['tolerance']:.0e} |"
    )


if __name__ == "__main__":
    sys.exit(main())
