"""Read what trial printed and say how many tests passed and how many failed.

    python tools/count_tests.py LOG EXIT_STATUS

prints the two numbers on one line and the reasons for whatever trial itself did not call a
failure on standard error.  A test that should have run and did not is a failure here: a skip
needs an entry below, and a known failure ("todo") has no place in a gate.
"""

import re
import sys
from pathlib import Path

# Test id (or the start of one, ending in a dot) -> why it may be skipped by the gate.
ALLOWED_SKIPS: dict[str, str] = {}

SUMMARY = re.compile(
    r"^Ran (?P<ran>\d+) tests? in [\d.]+s\n\n(?:PASSED|FAILED)(?: \((?P<counts>.*)\))?$",
    re.MULTILINE,
)
SKIP_SECTION = re.compile(r"^={20,}\n\[SKIPPED\]\n(.*?)(?=^(?:={20,}|-{20,})$)", re.M | re.S)
TEST_ID = re.compile(r"[A-Za-z_][\w.]*\.\w+")
TERMINAL_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def skipped_tests(log: str) -> list[str]:
    """The ids of the skipped tests; each section is the reason, an empty line, the ids."""
    found = []
    for section in SKIP_SECTION.findall(log):
        for line in reversed(section.rstrip("\n").split("\n")):
            if not TEST_ID.fullmatch(line):
                break
            found.append(line)
    return found


def is_allowed(test: str, allowed: dict[str, str]) -> bool:
    return any(test == key or (key.endswith(".") and test.startswith(key)) for key in allowed)


def count(log: str, status: int, allowed: dict[str, str]) -> tuple[int, int, list[str]]:
    """Passed, failed, and sentences on what counts as failed though trial disagrees."""
    log = TERMINAL_COLOUR.sub("", log.replace("\r\n", "\n"))
    summaries = list(SUMMARY.finditer(log))
    if not summaries:
        return 0, 1, ["trial did not come to its summary"]
    # A test may print anything, also such a line: trial's own is the last.
    summary = summaries[-1]
    counts = {name: int(n) for name, n in re.findall(r"(\w+)=(\d+)", summary["counts"] or "")}
    passed = counts.pop("successes", 0)
    skips = counts.pop("skips", 0)
    # What is left has failed: failures, errors, expectedFailures, unexpectedSuccesses.
    failed = sum(counts.values())
    reasons = []
    if counts.get("expectedFailures"):
        reasons.append(f"{counts['expectedFailures']} tests are known to fail ('todo')")

    names = skipped_tests(log)
    refused = [name for name in names if not is_allowed(name, allowed)]
    reasons += [f"skipped, not listed in tools/count_tests.py: {name}" for name in refused]
    failed += max(0, skips - (len(names) - len(refused)))

    missing = int(summary["ran"]) - (passed + skips + sum(counts.values()))
    if missing > 0:
        failed += missing
        reasons.append(f"{missing} tests came to no result")
    if int(summary["ran"]) == 0:
        failed += 1
        reasons.append("no test ran")
    if status != 0 and failed == 0:
        failed = 1
        reasons.append(f"the test run ended with exit status {status}")
    return passed, failed, reasons


def main(log: str, status: str) -> None:
    text = Path(log).read_text(encoding="utf-8", errors="replace")
    passed, failed, reasons = count(text, int(status), ALLOWED_SKIPS)
    for reason in reasons:
        print(f"count_tests: {reason}", file=sys.stderr)
    print(passed, failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
