"""The story that `make up` ends with: seven steps before the front door, each of which must do what it promises."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from rich.console import Console
from rich.markup import escape

from deploy.local import Trouble, demo, synthetic
from deploy.local.caller import Answer, Caller
from deploy.local.stack import ROOT, Stack

# Consent is given up on after 2 s; the rest is the way there and back.
_GIVEN_UP_MS = 2_400.0
_SETTLED_SECONDS = 20.0
_PAGE = 100
_OK, _CREATED, _FORBIDDEN, _NOT_FOUND, _UNAVAILABLE = 200, 201, 403, 404, 503


class StoryBroken(Trouble):
    """A step did not do what it must; the message is one sentence that says which and what came instead."""


async def tell(stack: Stack, console: Console | None = None) -> None:
    """Tell the whole story on a running stack whose demo people are registered; raise StoryBroken."""
    people = orjson.loads((stack.data / "demo.json").read_bytes())
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
        await _Story(stack, people, session, console or Console()).told()


@dataclass
class _Story:
    stack: Stack
    people: dict[str, Any]
    session: aiohttp.ClientSession
    console: Console
    callers: dict[tuple[str, str], Caller] = field(default_factory=dict)
    report: bytes = b""
    document: str = ""
    entries_before: int = 0

    async def told(self) -> None:
        began = time.monotonic()
        await self._clear_up()
        for number, (title, step) in enumerate(self._steps(), 1):
            self.console.print(f"\n[bold]{number}. {title}[/bold]", highlight=False, soft_wrap=True)
            await step()
        self.console.print(f"\n[green]The story holds[/green] ({time.monotonic() - began:.1f} s).", highlight=False)

    def _steps(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        return [
            ("Dr Moreau's software deposits a laboratory report into Camille's record", self._deposit),
            ("Camille lists her documents and reads the report, byte for byte", self._patient_reads),
            ("Dr Moreau, whom Camille authorises, reads it; Dr Petit, whom nobody did, sees nothing", self._doctors),
            ("Camille blocks Dr Moreau: his very next request sees nothing; he may still deposit", self._block),
            ("An insurer asks, with Camille's consent in hand: a red line", self._insurer),
            ("The consent service is stopped: every flow fails closed; started again, everything works", self._outage),
            ("Camille reads her journal", self._journal),
        ]  # fmt: skip

    # -- before the story

    async def _clear_up(self) -> None:
        """End what an earlier telling left in force, so that each one begins alike."""
        camille = await self._as("camille")
        actors = {f"person:{each['national_id']}" for each in self.people["professionals"].values()}
        actors |= {f"organisation:{each}" for each in self.people["applications"]["assureur"]["organisations"]}
        for each in (await _settled(camille.directives, "Camille's directives")).json()["directives"]:
            if each["subject"] in actors:
                _must(await camille.end(each["id"]), _OK, "ending an earlier directive")
            elif each["kind"] == "oppose":
                raise StoryBroken(f"Camille has opposed her record (directive {each['id']}): end it, or 'make reset'.")
        self.entries_before = (await camille.journal(_count=1)).json()["entries"][0]["n"]

    # -- the seven steps

    async def _deposit(self) -> None:
        moreau, camille = await self._as("moreau", "camille"), await self._as("camille")
        system, ins = camille.patient.split("|")
        oid = system.removeprefix("urn:oid:")
        self.report = synthetic.laboratory_report(ins=ins, system_oid=oid, size=30_000)
        last = _newest(await camille.inbox())
        answer = await moreau.deposit(synthetic.deposit_request(self.report, ins=ins, system_oid=oid))
        self.document = _must(answer, _CREATED, "Dr Moreau's deposit").json()["id"]
        self._say("Dr Moreau deposits a report (CDA R2)", answer, self.document)
        began = time.perf_counter()
        told = await _until(camille.inbox, lambda seen: _newest(seen) > last, "Camille's inbox says that it arrived")
        item = told.json()["items"][0]
        if self.document in str(item):
            raise StoryBroken("The inbox names the document.")
        self._say(
            "Camille's inbox", told, f"« {item['sentence']} » ({(time.perf_counter() - began) * 1000:.0f} ms later)"
        )
        await self._official_sample()

    async def _official_sample(self) -> None:
        """Deposit the national agency's laboratory report as it is, where the samples are on this machine."""
        folder = Path(os.environ.get("CARNET_CASES", ROOT.parent / "shared" / "cases")) / "cda"
        for path in sorted(folder.glob("BIO-CR-BIO*.xml")):
            moreau, dominique = await self._as("moreau", "dominique"), await self._as("dominique")
            system, ins = dominique.patient.split("|")
            request = synthetic.deposit_request(path.read_bytes(), ins=ins, system_oid=system.removeprefix("urn:oid:"))
            answer = _must(await moreau.deposit(request), _CREATED, f"the deposit of {path.name}")
            self._say(f"the same for Dominique: {path.name}", answer, answer.json()["id"])
            read = _must(await dominique.read(answer.json()["id"]), _OK, f"Dominique's reading of {path.name}")
            if read.body != path.read_bytes():
                raise StoryBroken(f"{path.name} came back with other bytes.")

    async def _patient_reads(self) -> None:
        camille = await self._as("camille")
        listed = _must(await camille.search(), _OK, "Camille's list")
        if self.document not in listed.ids:
            raise StoryBroken("Camille's list lacks the report.")
        self._say("Camille lists", listed, f"{listed.json()['total']} to see")
        await self._reads(camille, "Camille reads")

    async def _doctors(self) -> None:
        camille, moreau = await self._as("camille"), await self._as("moreau", "camille")
        begun = await camille.begin(kind="authorise", professional=self.people["professionals"]["moreau"]["rpps"])
        self._say("Camille authorises Dr Moreau", _must(begun, _CREATED, "the authorisation"), begun.json()["id"])
        listed = _must(await moreau.search(), _OK, "Dr Moreau's list")
        if self.document not in listed.ids:
            raise StoryBroken("Dr Moreau's list lacks the report, which Camille authorised him to see.")
        self._say("Dr Moreau lists", listed, f"{listed.json()['total']} to see")
        await self._reads(moreau, "Dr Moreau reads")
        await self._sees_nothing(await self._as("petit", "camille"), "Dr Petit")

    async def _block(self) -> None:
        camille, moreau = await self._as("camille"), await self._as("moreau", "camille")
        begun = await camille.begin(kind="block", professional=self.people["professionals"]["moreau"]["rpps"])
        self._say("Camille blocks Dr Moreau", _must(begun, _CREATED, "the block"), begun.json()["id"])
        await self._sees_nothing(moreau, "Dr Moreau")
        answer = _must(await moreau.deposit(self._fresh_request(camille)), _CREATED, "the blocked Dr Moreau's deposit")
        self._say("Dr Moreau deposits another report", answer, answer.json()["id"])

    async def _insurer(self) -> None:
        camille, insurer = await self._as("camille"), await self._as("assureur", "camille")
        for organisation in self.people["applications"]["assureur"]["organisations"]:
            begun = _must(await camille.begin(kind="authorise", organisation=organisation), _CREATED, "her agreement")
            self._say("Camille authorises the insurer", begun, begun.json()["id"])
        for what, answer in (
            ("the insurer lists", await insurer.search()),
            ("the insurer reads", await insurer.read(self.document)),
        ):
            _must(answer, _FORBIDDEN, what, "red-line-insurance")
            self._say(what, answer, answer.json()["issue"][0]["diagnostics"])

    async def _outage(self) -> None:
        camille, moreau = await self._as("camille"), await self._as("moreau", "camille")
        consent = [each.name for each in self.stack.processes.values() if each.service == "consent"]
        request = self._fresh_request(camille)
        before = _must(await camille.search(_count="1"), _OK, "Camille's list").json()["total"]
        await asyncio.gather(*(self.stack.stop_process(each) for each in consent))
        self._line(f"stopped: {', '.join(consent)}")
        try:
            answers = await asyncio.gather(
                moreau.deposit(request), camille.search(), camille.read(self.document), camille.journal()
            )
        finally:
            await asyncio.gather(*(self.stack.start_process(each) for each in consent))
        asked = ("Dr Moreau deposits", "Camille lists", "Camille reads", "Camille asks for her journal")
        for what, answer in zip(asked, answers, strict=True):
            _must(answer, _UNAVAILABLE, f"without consent: {what}", "consent-unreachable")
            if answer.ms > _GIVEN_UP_MS:
                raise StoryBroken(f"Without consent, '{what}' was answered after {answer.ms:.0f} ms only.")
            self._say(what, answer, answer.code or "")
        self._line(f"started: {', '.join(consent)}")
        again = await _settled(camille.search, "Camille's list after the outage")
        if again.json()["total"] != before:
            raise StoryBroken("A document arrived although its software was told 503.")
        self._say("Camille lists", again, f"{before} to see, as before")
        await self._reads(camille, "Camille reads")
        answer = _must(await moreau.deposit(request), _CREATED, "the deposit's retry")
        self._say("Dr Moreau's software tries again", answer, answer.json()["id"])

    async def _journal(self) -> None:
        entries = await self._entries()
        self._line(f"{len(entries)} entries since the story began, the oldest first:")
        for entry in entries:
            sign = "[green]+[/green]" if entry.get("outcome", "allowed") == "allowed" else "[red]-[/red]"
            self.console.print(f"   {sign} {escape(entry['phrase'])}", highlight=False, soft_wrap=True)
        said = {(each.get("action"), each.get("outcome"), each.get("who", {}).get("id")) for each in entries}
        moreau, petit = (f"8{self.people['professionals'][name]['rpps']}" for name in ("moreau", "petit"))
        expected = {(action, outcome, moreau) for action, outcome in (
            ("deposit", "allowed"), ("list", "allowed"), ("read", "allowed"), ("list", "refused"), ("read", "refused"),
        )} | {("list", "refused", petit), ("read", "refused", petit)}  # fmt: skip
        if missing := expected - said:
            raise StoryBroken(f"The journal lacks {', '.join(sorted(' '.join(map(str, each)) for each in missing))}.")
        kinds = {(each.get("action"), each.get("outcome"), each.get("who", {}).get("kind")) for each in entries}
        expected = {("notify", "allowed", "service"), ("list", "allowed", "patient"), ("read", "allowed", "patient"),
                    ("change-directives", "allowed", "patient"), ("list", "red-line", "application"),
                    ("read", "red-line", "application")}  # fmt: skip
        if missing := expected - kinds:
            raise StoryBroken(f"The journal lacks {', '.join(sorted(' '.join(map(str, each)) for each in missing))}.")

    # -- what the steps share

    async def _as(self, who: str, record_of: str = "") -> Caller:
        """Return the software of a demo person or application, with a token for a patient's record."""
        patient = record_of or who
        if (who, patient) not in self.callers:
            token = await demo.token(self.stack, who, patient)
            named = self.people["patients"][patient]
            self.callers[who, patient] = Caller(
                self.session, self.people["base"], token, f"{named['system']}|{named['ins']}"
            )
        return self.callers[who, patient]

    def _fresh_request(self, patient: Caller) -> bytes:
        system, ins = patient.patient.split("|")
        oid = system.removeprefix("urn:oid:")
        return synthetic.deposit_request(synthetic.laboratory_report(ins=ins, system_oid=oid), ins=ins, system_oid=oid)

    async def _reads(self, caller: Caller, what: str) -> None:
        read = _must(await caller.read(self.document), _OK, what)
        if read.body != self.report:
            raise StoryBroken(f"'{what}' gave other bytes than were deposited.")
        self._say(what, read, f"{len(read.body)} bytes, the same")

    async def _sees_nothing(self, caller: Caller, name: str) -> None:
        listed = _must(await caller.search(), _OK, f"{name}'s list")
        if listed.json()["total"] or listed.ids:
            raise StoryBroken(f"{name} sees documents that nobody lets them see.")
        self._say(f"{name} lists", listed, "0 to see")
        record = self.document.rpartition("-")[0]
        absent = await caller.read(f"{record}-{'a' * 26}")
        read = _must(await caller.read(self.document), _NOT_FOUND, f"{name}'s reading")
        if (read.status, read.body) != (absent.status, absent.body):
            raise StoryBroken(f"{name} can tell a document they may not see from one that is not there.")
        self._say(f"{name} reads", read, f"the same answer as for a document that is not there ({absent.ms:.1f} ms)")

    async def _entries(self) -> list[dict[str, Any]]:
        """Return the journal's entries since the story began, the oldest first."""
        camille, found = await self._as("camille"), list[dict[str, Any]]()
        before: dict[str, int] = {}
        while True:
            page = _must(await camille.journal(_count=_PAGE, **before), _OK, "Camille's journal").json()["entries"]
            found += [each for each in page if each["n"] > self.entries_before]
            if len(page) < _PAGE or page[-1]["n"] <= self.entries_before:
                return found[::-1]
            before = {"before": page[-1]["n"]}

    def _say(self, what: str, answer: Answer, note: str) -> None:
        self._line(f"{what:<46} {answer.status} {answer.ms:8.1f} ms   {note}")

    def _line(self, text: str) -> None:
        self.console.print(f"   {text}", highlight=False, markup=False, soft_wrap=True)


def _must(answer: Answer, status: int, what: str, code: str | None = None) -> Answer:
    if answer.status != status or (code is not None and answer.code != code):
        got, wanted = f"{answer.status} {answer.code or ''}".strip(), f"{status} {code or ''}".strip()
        raise StoryBroken(f"{what[0].upper()}{what[1:]} was answered {got} instead of {wanted}.")
    return answer


def _newest(inbox: Answer) -> int:
    items = _must(inbox, _OK, "Camille's inbox").json()["items"]
    return items[0]["id"] if items else 0


async def _until(ask: Callable[[], Awaitable[Answer]], holds: Callable[[Answer], bool], what: str) -> Answer:
    """Ask again until it holds."""
    end = time.monotonic() + _SETTLED_SECONDS
    while True:
        answer = await ask()
        if holds(answer):
            return answer
        if time.monotonic() > end:
            raise StoryBroken(f"Not true after {_SETTLED_SECONDS:.0f} s: {what}.")
        await asyncio.sleep(0.05)


async def _settled(ask: Callable[[], Awaitable[Answer]], what: str) -> Answer:
    """Ask again while the answer is 503: a record that is being opened, a service that comes back."""
    answer = await _until(ask, lambda seen: seen.status != _UNAVAILABLE, what)
    return _must(answer, _OK, what)
