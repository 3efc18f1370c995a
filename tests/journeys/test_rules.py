"""The public rules through the front door: anybody reads them, and an activation is followed by all that runs."""

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import aiohttp

from deploy.local.stack import POLICIES, ROOT, Stack
from services.consent.domain.rules import Rules
from tests.journeys.records import PATIENT, Opened, doctor


async def _command(stack: Stack, *words: str) -> str:
    environment = {**os.environ, **stack.env_of("consent-1")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.consent", "rules", *words, cwd=ROOT, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def _rules(stack: Stack, session: aiohttp.ClientSession, path: str = "") -> dict[str, Any]:
    headers = {"accept": "application/json"}
    async with session.get(f"{stack.base}/consent/rules{path}", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return dict(await answer.json())


async def test_anybody_reads_the_rules(stack: Stack, session: aiohttp.ClientSession) -> None:
    """Without a token: a French page that may run nothing, and the same for programs."""
    async with session.get(f"{stack.base}/consent/rules", headers={"accept": "text/html"}) as answer:
        page = await answer.text()
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    told = await _rules(stack, session)
    assert told["digest"] == Rules().digest
    assert told["digest"] in page
    assert "table provisoire, sans valeur officielle" in page
    assert "<script" not in page


async def test_an_activation_is_followed_by_all_that_runs(
    stack: Stack, session: aiohttp.ClientSession, record: Opened, tmp_path: Path
) -> None:
    """Rules change while everything runs: no call fails, later verdicts are under the new ones, old ones stay."""
    care, patient = record.caller(doctor()), record.caller(PATIENT)
    assert (await care.deposit(record.request())).status == 201
    folder = shutil.copytree(POLICIES, tmp_path / "rules")
    text = (folder / "legal_basis.cedar").read_text(encoding="utf-8")
    said, reworded = Rules()["patient-own-record"].sentence, "La personne est chez elle dans son dossier."
    (folder / "legal_basis.cedar").write_text(text.replace(said, reworded), encoding="utf-8")
    newer = Rules(folder).digest
    done = False

    async def asking() -> list[int]:
        found = []
        while not done:
            found += [(await each.search()).status for each in (patient, care)]
        return found

    try:
        calls = asyncio.create_task(asking())
        await _command(stack, "activate", str(folder))
        newest = (await patient.journal()).json()["entries"][0]
        await asyncio.sleep(0.5)
        done = True
        assert set(await calls) == {200}
        assert (await care.deposit(record.request())).status == 201
        entries = (await patient.journal(_count=500)).json()["entries"]
        later = [each["policies"] for each in entries if each["at"] >= newest["at"]]
        assert set(later) == {newer}
        assert len(later) > 3
        by_rules = {(each["policies"], each["rule"]["sentence"]) for each in entries if each.get("flow")}
        assert (newer, reworded) in by_rules
        assert (Rules().digest, said) in by_rules
        told = await _rules(stack, session)
        assert [each["digest"] for each in told["activations"][:2]] == [newer, Rules().digest]
        changed = (await _rules(stack, session, f"/diff?from={Rules().digest}&to={newer}"))["changed"]
        assert [(each["before"]["sentence"], each["after"]["sentence"]) for each in changed] == [(said, reworded)]
    finally:
        await _command(stack, "activate", str(POLICIES))
    assert (await _rules(stack, session))["digest"] == Rules().digest
