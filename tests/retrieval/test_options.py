"""The options of one run: completed from the settings, and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async import MediaRetriever, Settings, SettingsError, ValidationRule
from genesys_media_async.retrieval.options import resolve
from genesys_media_async.simulator import Simulator
from tests.support.retrievers import settings_for

if TYPE_CHECKING:
    from genesys_media_async import RunOptions


def settings(**values: Any) -> Settings:
    return Settings.model_validate(
        {"client_id": "a", "client_secret": "b", "base_url": "https://api.example.com"} | values
    )


def test_options_that_are_left_out_come_from_the_settings():
    configured = settings(expires_in=60, access_level="public", concurrency=7, deadline=30.0)
    resolved = resolve(configured, {})
    assert (resolved.expires_in, resolved.access_level) == (60, "public")
    assert (resolved.concurrency, resolved.deadline) == (7, 30.0)
    assert resolved.rule == configured.rule


def test_the_number_of_workers_follows_from_the_settings_if_nobody_chooses_it():
    assert resolve(settings(), {}).concurrency == settings().workers


@pytest.mark.parametrize(
    "chosen",
    [
        {"expires_in": 1},
        {"expires_in": 86_400},
        {"access_level": "restricted"},
        {"access_level": None},
        {"rule": ValidationRule(required_access="restricted")},
        {"concurrency": 1},
        {"deadline": 0.5},
        {"deadline": 1},
        {"deadline": float("inf")},
    ],
    ids=str,
)
def test_an_option_overrides_its_setting(chosen: RunOptions):
    resolved = resolve(settings(access_level="public", expires_in=60), chosen)
    ((name, value),) = chosen.items()
    assert getattr(resolved, name) == value


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"expires_in": 0}, "expires_in is 0"),
        ({"expires_in": -1}, "expires_in is -1"),
        ({"expires_in": 86_401}, "expires_in is 86401"),
        ({"expires_in": True}, "expires_in is True"),
        ({"expires_in": 60.0}, r"expires_in is 60\.0"),
        ({"expires_in": "60"}, "expires_in is '60'"),
        ({"expires_in": 10**5_000}, "far out of range"),
        ({"access_level": ""}, "access_level is ''"),
        ({"access_level": 7}, "access_level is 7"),
        ({"access_level": "two words"}, "access_level is 'two words'"),
        ({"rule": None}, "rule is None"),
        ({"rule": {}}, "rule is {}"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"concurrency": 2.0}, r"concurrency is 2\.0"),
        ({"concurrency": True}, "concurrency is True"),
        ({"deadline": 0}, "deadline is 0"),
        ({"deadline": -1.5}, r"deadline is -1\.5"),
        ({"deadline": float("nan")}, "deadline is nan"),
        ({"deadline": "5"}, "deadline is '5'"),
        ({"deadline": None}, "deadline is None"),
        ({"dedline": 5}, "dedline: unknown option; did you mean deadline"),
        ({"colour": "red"}, "colour: unknown option"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_option_that_cannot_work_is_refused_by_name(chosen: Any, message: str):
    with pytest.raises(SettingsError, match=message):
        resolve(settings(), chosen)


@pytest.mark.parametrize(("base_url", "allowed"), [("http://127.0.0.1:8080", True), ("https://api.example.com", False)])
def test_plain_http_urls_of_this_machine_are_accepted_only_from_an_api_on_this_machine(base_url: str, allowed: bool):
    configured = settings(base_url=base_url)
    assert resolve(configured, {}).rule.loopback_http is allowed
    assert resolve(configured, {"rule": ValidationRule()}).rule.loopback_http is allowed


@pytest.mark.anyio
async def test_options_that_cannot_work_are_refused_before_a_request():
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        for options in ({"expires_in": 0}, {"expires_in": -1}, {"expires_in": 86_401}, {"concurrency": 0}):
            with pytest.raises(SettingsError):
                retriever.retrieve_many(["a"], **options)  # type: ignore[arg-type]
        with pytest.raises(SettingsError):
            await retriever.retrieve("a", expires_in="abc")  # type: ignore[arg-type]
        for deadline in (float("nan"), "5", None):
            with pytest.raises(SettingsError, match="deadline is"):
                await retriever.retrieve_all(["a"], deadline=deadline)  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="rule is None"):
            retriever.retrieve_many(["a"], rule=None)  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="dedline: unknown option; did you mean deadline"):
            retriever.retrieve_many(["a"], dedline=5)  # type: ignore[call-arg]
        with pytest.raises(SettingsError, match="a single string"):
            await retriever.retrieve_all("abc")
        assert simulator.counts.token_requests == 0
