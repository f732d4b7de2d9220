"""
The official SDK, `PureCloudPlatformClientV2`, with threads.

It has no such operation: `ApiClient.call_api` is called instead, in which all of its operations end. The token comes
from its own client-credentials grant. Its pool of four connections gets as many as there are threads.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import PureCloudPlatformClientV2 as sdk  # type: ignore[import-not-found]  # noqa: N813
from PureCloudPlatformClientV2.rest import ApiException, RESTClientObject  # type: ignore[import-not-found]

from benchmarks.peers.measurement import Measurement, write_report
from benchmarks.peers.options import CLIENT_ID, CLIENT_SECRET, EXPIRES_IN, Options
from benchmarks.peers.pipeline import PATH, Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator


class Sdk:
    """One `ApiClient` for all threads."""

    def __init__(self, options: Options, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._lock = threading.Lock()
        self._here = threading.local()
        self._client = sdk.api_client.ApiClient()
        parts = urlsplit(options.url)
        self._client.set_gateway(parts.hostname, parts.scheme, parts.port, "", "")
        http_client = self._client.get_http_client()
        http_client.rest_client = RESTClientObject(max_size=options.in_flight)
        http_client.post_hook = self._remember
        self._client.get_client_credentials_token(CLIENT_ID, CLIENT_SECRET)

    def _remember(self, response: object) -> object:
        # call_api returns the decoded body only, and keeps one last reply for all threads.
        self._here.response = response
        return response

    def ask(self, file_id: str) -> None:
        """Retrieve one id."""
        body = {"fileId": file_id, "expiresIn": EXPIRES_IN}
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        sent = time.perf_counter()
        try:
            decoded = self._client.call_api(
                PATH.replace("{}", "{fileId}"),
                "POST",
                path_params={"fileId": file_id},
                header_params=headers,
                body=body,
                response_type="object",
                auth_settings=["PureCloud OAuth"],
            )
        except ApiException as error:
            with self._lock:
                self._pipeline.counters.fail(f"status {error.status}")
            return
        latency, response = time.perf_counter() - sent, self._here.response
        with self._lock:
            self._pipeline.finish(
                file_id,
                latency,
                response.status,
                response.getheader("content-type"),
                response.getheader("inin-correlation-id"),
                decoded,
            )


def with_threads(client: Sdk, ids: Iterator[str], threads: int) -> None:
    """Ask for every id with threads that share one iterator."""
    turn = threading.Lock()

    def work() -> None:
        while True:
            with turn:
                file_id = next(ids, None)
            if file_id is None:
                return
            client.ask(file_id)

    started = [threading.Thread(target=work) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def main(options: Options) -> None:
    """Retrieve all ids."""
    pipeline = Pipeline(options, f"PureCloudPlatformClientV2/{sdk.__version__ if hasattr(sdk, '__version__') else ''}")
    client = Sdk(options, pipeline)
    with_threads(client, options.warm_up_ids(), options.in_flight)
    pipeline.counters.answers = 0
    measurement = Measurement()
    with measurement:
        with_threads(client, options.ids(), options.in_flight)
    write_report(options, measurement, pipeline.counters, pipeline.latencies())


if __name__ == "__main__":
    main(Options.parse())
