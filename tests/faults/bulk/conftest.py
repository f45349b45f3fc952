"""Print a table of the counts at the end of a run."""

from typing import Any

from faults.bulk.outcomes import COUNTS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not COUNTS:
        return
    terminalreporter.section("bad data, in bulk")
    terminalreporter.write_line(f"{'family':16}{'cases':>8}{'accepted':>10}{'rejected':>9}{'seconds':>9}")
    rows = {**COUNTS, "all": [sum(column) for column in zip(*COUNTS.values(), strict=True)]}
    for family, (accepted, rejected, seconds) in rows.items():
        cases = accepted + rejected
        terminalreporter.write_line(f"{family:16}{cases:8.0f}{accepted:10.0f}{rejected:9.0f}{seconds:9.0f}")
