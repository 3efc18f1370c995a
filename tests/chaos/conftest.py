"""Stacks that are made to be hurt: whole, on free ports, in temporary folders."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.stack import Stack
from tests.chaos.deciders import three_deciders


@pytest.fixture(scope="session")
async def deciders(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Consent with three deciders, for the campaigns that ask it directly."""
    async with three_deciders(tmp_path_factory.mktemp("deciders")) as stack:
        yield stack
