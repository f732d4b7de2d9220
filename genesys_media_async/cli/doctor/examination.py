"""An examination of a setup: its checks in order, each as far as the ones before it allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...transports.choice import Transports
from .checks import check_api, check_permissions, check_quota, check_settings, check_token
from .client import DoctorClient
from .findings import Finding, Findings
from .network import check_environment, check_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...clock import Clock
    from ...settings.settings import Settings


async def examine(settings: Settings, sources: Sequence[str], clock: Clock) -> Findings:
    """Return the findings about a setup; `sources` are those that must be permitted, none for all of them."""
    findings = [check_settings(settings), *check_environment(settings)]
    if not _has_problem(findings):
        findings += await check_network(settings)
    if _has_problem(findings):
        return Findings(findings)
    transports = Transports("auto", settings)
    try:
        return Findings([*findings, *await _by_requests(DoctorClient(settings, transports, clock), sources)])
    finally:
        await transports.aclose()


async def _by_requests(client: DoctorClient, sources: Sequence[str]) -> list[Finding]:
    findings = await check_token(client)
    if _has_problem(findings):
        return findings
    findings += await check_api(client)
    if any(each.check == "API" and each.verdict == "problem" for each in findings):
        return findings
    findings += await check_permissions(client, sources)
    findings.append(await check_quota(client))
    return findings


def _has_problem(findings: Sequence[Finding]) -> bool:
    return any(each.verdict == "problem" for each in findings)
