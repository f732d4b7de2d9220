"""`help()` of everything public shows no secret of the environment it runs in."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import importlib, inspect, pydoc
names = ["genesys_media_async"] + ["genesys_media_async." + room for room in (
    "api", "audit", "clock", "counters", "discovery", "endpoints", "errors", "events", "ids", "limiter", "models",
    "quota", "retrieval", "settings", "simulator", "sinks", "testing", "transports", "webhooks",
)]
shown = 0
for name in names:
    module = importlib.import_module(name)
    print(pydoc.render_doc(module, renderer=pydoc.plaintext))
    for each in getattr(module, "__all__", []):
        thing = getattr(module, each)
        if isinstance(thing, str):
            continue
        print(pydoc.render_doc(thing, renderer=pydoc.plaintext))
        shown += 1
        for _, member in inspect.getmembers(thing, callable):
            try:
                print(inspect.signature(member))
            except (TypeError, ValueError):
                pass
print("SHOWN", shown)
"""


def test_help_shows_no_secret_of_the_environment() -> None:
    secrets = {
        "GENESYSCLOUD_OAUTHCLIENT_SECRET": "canary-secret",
        "GENESYSCLOUD_ACCESS_TOKEN": "canary-token",
        "GENESYS_MEDIA_PROXY": "http://user:canary-proxy@proxy.example.com:3128",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **secrets}, capture_output=True, text=True, check=True
    )
    assert int(done.stdout.rpartition("SHOWN ")[2]) > 80
    assert "canary" not in done.stdout + done.stderr
