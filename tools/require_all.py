"""With REQUIRE_ALL=1 a skipped test fails.

Tests are skipped, with the reason in the output, if a network file, a package, Slurm, sshd or Chromium is not
available. With REQUIRE_ALL=1 only tests that need a GPU or LaTeX may be skipped.
"""

import os

import pytest

ASKED = "REQUIRE_ALL"
OPTIONAL = ("gpu", "tex")


def judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure with its reason."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(ASKED):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{ASKED} is set, and this was not run: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if not any(map(item.get_closest_marker, OPTIONAL)):
        judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    report = yield
    judge(report)
    return report
