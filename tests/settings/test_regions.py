"""Regions in any spelling, and the hosts that follow from them."""

from __future__ import annotations

import pytest

from genesys_media_async.settings.regions import REGIONS
from tests.support.settings import configured, refusal


class TestRegions:
    @pytest.mark.parametrize(
        "spelled",
        [
            "eu_west_1",
            "eu-west-1",
            "EU-West-1",
            " eu-west-1 ",
            "mypurecloud.ie",
            "MYPURECLOUD.IE",
            "api.mypurecloud.ie",
            "login.mypurecloud.ie",
            "apps.mypurecloud.ie",
            "https://api.mypurecloud.ie",
            "https://api.mypurecloud.ie/",
            "https://mypurecloud.ie",
            "https://apps.mypurecloud.ie/directory/#/admin/oauth",
            "EU West 1",
        ],
    )
    def test_any_spelling_is_accepted(self, spelled: str) -> None:
        it = configured(region=spelled)
        assert it.region == "eu_west_1"
        assert it.api_url == "https://api.mypurecloud.ie"
        assert it.token_url == "https://login.mypurecloud.ie/oauth/token"

    @pytest.mark.parametrize("name", REGIONS)
    def test_every_region_is_found_by_name_and_by_domain(self, name: str) -> None:
        spellings = (name, name.replace("_", "-"), name.upper(), REGIONS[name], f"https://api.{REGIONS[name]}/")
        assert {configured(region=spelled).region for spelled in spellings} == {name}

    @pytest.mark.parametrize(
        ("spelled", "hint"),
        [
            ("", "The regions are us-east-1, "),
            ("mars-1", "The regions are us-east-1, "),
            ("evil.test", "or their domains."),
            ("us-east", "Did you mean us-east-2 or us-east-1"),
            ("us-east-1b", "Did you mean us-east-1"),
            ("api.mypurecloud.com.evil.test", "The regions are us-east-1, "),
            ("mypurecloud.company", "Did you mean mypurecloud.com"),
            ("eu-west1", "Did you mean eu-west-1"),
        ],
    )
    def test_an_unknown_region_is_refused_with_the_closest_or_all(self, spelled: str, hint: str) -> None:
        message = str(refusal(configured, region=spelled))
        assert message.startswith(f"region (or GENESYSCLOUD_REGION): {spelled!r} is not a region. ")
        assert hint in message
        assert message.endswith("For another host, set base_url and login_url.")

    def test_there_are_as_many_as_genesys_has(self) -> None:
        assert len(REGIONS) == 18

    @pytest.mark.parametrize("domain", REGIONS.values())
    def test_the_region_of_a_base_url_has_its_login(self, domain: str) -> None:
        it = configured(base_url=f"https://api.{domain}/")
        assert it.token_url == f"https://login.{domain}/oauth/token"

    @pytest.mark.parametrize("host", ["api.mypurecloud.ie.evil.test", "api.gateway.example.com", "mypurecloud.ie"])
    def test_no_region_is_guessed_from_another_host(self, host: str) -> None:
        it = configured(base_url=f"https://{host}", region="ap_south_1")
        assert it.token_url == "https://login.aps1.pure.cloud/oauth/token"

    def test_hosts_win_over_the_region(self) -> None:
        it = configured(base_url="https://gateway.example.com/genesys/", login_url="http://127.0.0.1:9000")
        assert it.api_url == "https://gateway.example.com/genesys"
        assert it.token_url == "http://127.0.0.1:9000/oauth/token"
