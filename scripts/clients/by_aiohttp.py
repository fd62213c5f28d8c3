"""One call by aiohttp. Arguments: URL, token, and `trust_env` to let it look at the environment's proxy."""

import asyncio
import sys

import aiohttp


async def call() -> None:
    headers = {"Authorization": f"Bearer {sys.argv[2]}"}
    trust_env = "trust_env" in sys.argv
    async with (
        aiohttp.ClientSession(trust_env=trust_env, headers=headers) as session,
        session.get(sys.argv[1]) as answer,
    ):
        print(answer.status)


asyncio.run(call())
