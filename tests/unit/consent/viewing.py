"""Consent's whole interface on ports in memory: one open record, a clock that a test moves, and its callers."""

from types import SimpleNamespace
from typing import Any

import orjson
from fastapi import FastAPI

from chassis.web import create_app
from services.consent.__main__ import SERVICE
from services.consent.acquaintances import Acquaintances
from services.consent.domain.flow import Action, Actor, Deposit
from services.consent.domain.rules import Rules
from services.consent.in_force import Archive
from services.consent.ledger import Ledger
from services.consent.own_flows import OwnFlows
from services.consent.repeats import Repeats
from services.consent.settings import RepeatsSettings
from services.consent.use_cases.ask_as_heir import AskAsHeir
from services.consent.use_cases.change_directives import ChangeDirectives
from services.consent.use_cases.decide import Decide
from services.consent.use_cases.declare_care import DeclareCare
from services.consent.use_cases.make_codes import MakeCodes
from services.consent.use_cases.preview_change import PreviewChange
from services.consent.use_cases.read_directives import ReadDirectives
from services.consent.use_cases.read_journal import ReadJournal
from services.consent.use_cases.read_traces import ReadTraces
from services.consent.use_cases.see_as import SeeAs
from tests.unit.chassis.asgi import Answer, ask
from tests.unit.consent.memory import (
    MemoryBundles,
    MemoryJournal,
    MemoryKeys,
    MemoryProjection,
    MemorySnapshots,
    MemoryWindows,
    Unchanging,
)
from tests.unit.consent.people import CAMILLE, RECORD, RULES, flow, opening
from tests.unit.consent.tokens import access_token, now_ms, verifier

WINDOW_MS = RepeatsSettings().seconds * 1000


class Viewing:
    """Every route that consent serves, as `python -m services.consent serve` puts them together.

    `counting`: refusals that repeat are told by their number.
    """

    def __init__(self, rules: Rules = RULES, *, counting: bool = False) -> None:
        self.journal, self.bundles, self.ahead = MemoryJournal(), MemoryBundles(), 0
        self.journal.entries[RECORD] = [opening()]
        ledger = Ledger(self.journal, MemorySnapshots())
        in_force = Unchanging(rules)
        repeats = Repeats(MemoryWindows(self.journal), WINDOW_MS) if counting else None
        self.decide = Decide(ledger, self.journal, MemoryKeys(), in_force, self.clock, repeats=repeats)
        flows, met = OwnFlows(self.decide, MemoryProjection()), Acquaintances(self.journal)
        changing = ChangeDirectives(flows, ledger, in_force, self.clock)
        room: Any = SimpleNamespace(
            clock=self.clock,
            in_force=in_force,
            archive=Archive(self.bundles),
            verifier=verifier(),
            settings=SimpleNamespace(public_base="https://carnet.test"),
            change_directives=changing,
            make_codes=MakeCodes(changing),
            declare_care=DeclareCare(flows, ledger, self.clock),
            ask_as_heir=AskAsHeir(flows),
            read_directives=ReadDirectives(flows, ledger, self.clock),
            read_journal=ReadJournal(flows, ledger, self.journal, self.clock),
            read_traces=ReadTraces(flows, ledger, self.journal, self.clock, WINDOW_MS),
            preview_change=PreviewChange(
                flows, ledger, changing, acquaintances=met, in_force=in_force, clock=self.clock
            ),
            see_as=SeeAs(flows, ledger, met, in_force, self.clock),
        )
        self.app: FastAPI = create_app("consent", SERVICE.routers(room), {}, SERVICE.dialects)

    def clock(self) -> int:
        """Return the time (ms)."""
        return now_ms() + self.ahead

    async def deposit(self, what: Deposit, by: Actor) -> str:
        """Deposit as software does; return the document's id."""
        outcome = (await self.decide.one(flow(by, Action.DEPOSIT, deposit=what))).outcome
        assert outcome is not None
        assert outcome.document is not None
        return outcome.document

    async def call(
        self, method: str, path: str, body: Any = None, *, actor: Actor = CAMILLE, form: str = "", **said: Any
    ) -> Answer:
        """Call as an actor."""
        sent = form.encode() or (orjson.dumps(body) if body else b"")
        content = "application/x-www-form-urlencoded" if form else "application/json"
        headers = {"authorization": f"Bearer {access_token(actor, **said)}", "content-type": content}
        return await ask(self.app, method, f"/consent{path}", sent, headers)

    async def told(self, *args: Any, **more: Any) -> dict[str, Any]:
        """Return what a call that succeeds says."""
        answer = await self.call(*args, **more)
        assert answer.status in {200, 201}, answer
        return dict(orjson.loads(answer.body))

    async def phrases(self) -> list[str]:
        """Return the journal's sentences, the newest first."""
        return [each["phrase"] for each in (await self.told("GET", "/journal"))["entries"]]
