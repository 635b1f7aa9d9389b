"""Where everything can be had, nothing is skipped: with REQUIRE_ALL=1 a skipped test is a failed one.

Tests skip, with their reason in the output, where a network file, a package, Slurm, sshd or Chromium cannot be had.
Only what needs a GPU, or a TeX, may be skipped all the same.
"""

import os

import pytest

ASKED = "REQUIRE_ALL"
OPTIONAL = ("gpu", "tex")


def judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure that tells its reason."""
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
