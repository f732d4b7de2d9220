"""The regions of Genesys Cloud and their domains."""

from __future__ import annotations

import re
from typing import Final

REGIONS: Final = {
    "us_east_1": "mypurecloud.com",
    "us_east_2": "use2.us-gov-pure.cloud",
    "us_west_2": "usw2.pure.cloud",
    "ca_central_1": "cac1.pure.cloud",
    "mx_central_1": "mxc1.pure.cloud",
    "sa_east_1": "sae1.pure.cloud",
    "eu_west_1": "mypurecloud.ie",
    "eu_west_2": "euw2.pure.cloud",
    "eu_central_1": "mypurecloud.de",
    "eu_central_2": "euc2.pure.cloud",
    "eusc_de_east_1": "edee1.eusc-pure.cloud",
    "me_central_1": "mec1.pure.cloud",
    "ap_south_1": "aps1.pure.cloud",
    "ap_northeast_1": "mypurecloud.jp",
    "ap_northeast_2": "apne2.pure.cloud",
    "ap_northeast_3": "apne3.pure.cloud",
    "ap_southeast_1": "apse1.pure.cloud",
    "ap_southeast_2": "mypurecloud.com.au",
}
"""AWS region to domain, as in the official SDKs: https://developer.genesys.cloud/platform/api/ ."""


def canonical_region(spelling: str) -> str:
    """
    Return the key of `REGIONS` for a region in any spelling: a name, a domain, or the address of one of its pages.

    Raises `ValueError` with the closest region, or with all of them.
    """
    # The address of a page, as copied from a browser, counts by its host.
    spelled = spelling.strip().lower().removeprefix("https://").partition("/")[0]
    name = re.sub(r"[\s-]", "_", spelled)
    if name in REGIONS:
        return name
    domain = re.sub(r"^(api|login|apps)\.", "", spelled)
    for name, known in REGIONS.items():
        if domain == known:
            return name
    # Imported here, since only mistakes need it.
    from difflib import get_close_matches

    names = [name.replace("_", "-") for name in REGIONS]
    close = get_close_matches(spelled.replace("_", "-"), [*names, *REGIONS.values()], cutoff=0.75)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"The regions are {', '.join(names)}, or their domains."
    raise ValueError(f"{spelling[:60]!r} is not a region. {hint} For another host, set base_url and login_url")
