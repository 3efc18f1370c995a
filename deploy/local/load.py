"""`python -m deploy.local.load PLAN`: one round of load from a process of its own.

Prints `ready` when its requests are made, waits for a line, sends them, and prints what came of it as JSON.
"""

import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import uvloop

from deploy.local.synthetic import deposit_request, laboratory_report

_OK = {"deposit": 201, "list": 200, "read": 200}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whole before the clock starts."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None


def requests(plan: dict[str, Any]) -> Iterator[Request]:
    """Make the plan's requests: its targets in turn, `most` of them."""
    base, kind = plan["base"], plan["kind"]
    for target in itertools.islice(itertools.cycle(plan["targets"]), plan["most"]):
        headers = {"Authorization": f"Bearer {target['token']}"}
        if kind == "read":
            yield Request("GET", f"{base}/fhir/Binary/{target['document']}", headers)
        elif kind == "list":
            query = f"patient.identifier={target['system']}|{target['ins']}&status=current"
            yield Request("GET", f"{base}/fhir/DocumentReference?{query}", headers)
        else:
            named = {"ins": target["ins"], "system_oid": target["system"].removeprefix("urn:oid:")}
            body = deposit_request(laboratory_report(**named, size=plan["bytes"]), **named)
            yield Request(
                "POST", f"{base}/fhir/DocumentReference", headers | {"Content-Type": "application/json"}, body
            )


async def run(plan: dict[str, Any]) -> dict[str, Any]:
    """Send the requests, so many at a time, until they or the seconds are over; insist on each if the plan does."""
    prepared = list(requests(plan))
    waiting, latencies, ids = iter(enumerate(prepared)), list[float](), dict[int, str]()
    failed: Counter[str] = Counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        began, cpu = time.perf_counter(), time.process_time()
        end = began + plan["seconds"]

        async def answered(request: Request) -> tuple[int, bytes]:
            async with session.request(
                request.method, request.url, headers=request.headers, data=request.body
            ) as response:
                return response.status, await response.read()

        async def worker() -> None:
            for number, request in waiting:
                sent = time.perf_counter()
                if sent > end:
                    return
                status, body = await answered(request)
                latencies.append((time.perf_counter() - sent) * 1000)
                while status != _OK[plan["kind"]]:
                    failed[f"{status} {body[:400].decode(errors='replace')}"] += 1
                    if not plan["insist"]:
                        break
                    status, body = await answered(request)
                else:
                    if plan["insist"]:
                        ids[number] = orjson.loads(body)["id"]

        await asyncio.gather(*(worker() for _ in range(plan["in_flight"])))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"latencies_ms": latencies, "seconds": seconds, "cpu_seconds": cpu, "failed": failed, "ids": ids}


if __name__ == "__main__":
    result = uvloop.run(run(orjson.loads(Path(sys.argv[1]).read_bytes())))
    sys.stdout.write(orjson.dumps(result, option=orjson.OPT_NON_STR_KEYS).decode() + "\n")
