"""The table of counts at the end of a run."""

from typing import Any

from faults.bulk.outcomes import COUNTS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not COUNTS:
        return
    terminalreporter.section("bad data, in bulk")
    terminalreporter.write_line(f"{'family':16}{'cases':>8}{'answered':>10}{'refused':>9}{'seconds':>9}")
    rows = {**COUNTS, "all": [sum(column) for column in zip(*COUNTS.values(), strict=True)]}
    for family, (answered, refused, seconds) in rows.items():
        cases = answered + refused
        terminalreporter.write_line(f"{family:16}{cases:8.0f}{answered:10.0f}{refused:9.0f}{seconds:9.0f}")
