"""What every test file shares."""

import pytest


@pytest.fixture
def anyio_backend():
    return "asyncio"
