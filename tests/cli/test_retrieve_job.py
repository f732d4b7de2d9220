"""The job of `retrieve`, in this process."""

from __future__ import annotations

import os

import pytest

from genesys_media_async import MediaRetriever, Settings
from genesys_media_async.cli.exit_codes import ExitCode
from genesys_media_async.cli.input.id_files import IdStream
from genesys_media_async.cli.output.formats import encoder
from genesys_media_async.cli.output.writer import Output, open_target
from genesys_media_async.cli.retrieve_job import RetrieveJob, run_retrieval


@pytest.mark.anyio
async def test_a_login_host_that_cannot_be_reached_is_worth_another_try():
    settings = Settings.from_env({}, client_id="a", client_secret="b", login_url="http://127.0.0.1:1", start_timeout=0)
    output = Output(open_target(os.devnull), *encoder("jsonl"))

    report = await run_retrieval(
        RetrieveJob(MediaRetriever(settings), IdStream(["a"], None, ()).read(), output, total=1), "none"
    )

    assert report.exit_code is ExitCode.RETRYABLE_FAILURES
    assert "No token from http://127.0.0.1:1" in str(report.run.failure)
