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
    """Send the requests, so many at a time, until they or the seconds are over."""
    prepared = list(requests(plan))
    waiting, latencies, ids = iter(enumerate(prepared)), list[float](), dict[int, str]()
    ends: Counter[int] = Counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        began, cpu = time.perf_counter(), time.process_time()
        end = began + plan["seconds"]

        async def worker() -> None:
            for number, request in waiting:
                sent = time.perf_counter()
                if sent > end:
                    return
                async with session.request(
                    request.method, request.url, headers=request.headers, data=request.body
                ) as response:
                    body = await response.read()
                latencies.append((time.perf_counter() - sent) * 1000)
                ends[response.status] += 1
                if plan["ids"] and response.status == _OK["deposit"]:
                    ids[number] = orjson.loads(body)["id"]

        await asyncio.gather(*(worker() for _ in range(plan["in_flight"])))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    failed = {str(status): count for status, count in ends.items() if status != _OK[plan["kind"]]}
    return {"latencies_ms": latencies, "seconds": seconds, "cpu_seconds": cpu, "failed": failed, "ids": ids}


if __name__ == "__main__":
    result = uvloop.run(run(orjson.loads(Path(sys.argv[1]).read_bytes())))
    sys.stdout.write(orjson.dumps(result, option=orjson.OPT_NON_STR_KEYS).decode() + "\n")
