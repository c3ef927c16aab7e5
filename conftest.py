"""Test settings shared by the kernel's tests, the plugins' and the examples'."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run every async test on asyncio, the loop the server runs on."""
    return "asyncio"
