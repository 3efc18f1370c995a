"""`make bench`, its third part: whether a clock can tell what an answer does not say.

The same question to what is kept from the asker and to what never was, in turn, one at a time, a thousand each way,
printed side by side. `apart` is the chance that an answer about the hidden is the slower one (0.5: a clock knows
nothing), and `noise` what chance alone gives it (two standard errors of the rank-sum statistic).
"""

import bisect
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson
from joserfc.jwk import OKPKey
from rich.console import Console
from rich.table import Table

from chassis.tokens import AccessToken, Application, Organisation, Representative, issue, patient_digest
from deploy.local.bench_decisions import Person
from deploy.local.caller import Answer, Caller
from deploy.local.stack import Stack
from deploy.local.synthetic import SYSTEM_OID, document_reference, laboratory_report
from services.documents.fhir.systems import TRE_A07

EACH_WAY, OPEN, SECRET = 1_000, 20, 5
_WARM_UP = 50
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_SYSTEM = f"urn:oid:{SYSTEM_OID}"
_SECRET_LABEL, _MASKED = "INVISIBLE_REPRESENTANTS_LEGAUX", "MASQUE_PS"
Register = Callable[[dict[str, Any]], Awaitable[dict[str, str]]]
Ask = Callable[[], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the hidden and of the absent; both must be answered with `status`."""

    name: str
    hidden: Ask
    absent: Ask
    status: int


class Timing:
    """A minor with secrets, one without, their parent, and a doctor who does not treat them."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession, key: OKPKey) -> None:
        self._stack, self._session, self._key = stack, session, key

    async def measured(self, register: Register, ins: Sequence[str], console: Console) -> dict[str, Any]:
        """Return the figures, and print them as a table; `ins` are three that nobody has."""
        began = time.monotonic()
        with_secret, without, parent = await self._family(register, ins)
        secret, masked = await self._filled(with_secret, without)
        absent = f"{with_secret.record}-{'a' * 26}"
        console.print(
            f"  a family registered, {OPEN} documents a child, {SECRET} secret: {time.monotonic() - began:.1f} s"
        )

        def theirs(child: Person) -> Caller:
            return self._caller(child, representative=Representative(holder=parent.record, role="parent"))

        def stranger(child: Person) -> Caller:
            return self._caller(child)

        questions = [
            Question("a parent lists: with secrets, without", lambda: theirs(with_secret).search(),
                     lambda: theirs(without).search(), 200),
            Question("a parent's journal: with secrets, without", lambda: theirs(with_secret).journal(_count=20),
                     lambda: theirs(without).journal(_count=20), 200),
            Question("a parent reads: a secret, nothing", lambda: theirs(with_secret).read(secret),
                     lambda: theirs(with_secret).read(absent), 404),
            Question("a stranger lists: with secrets, without", lambda: stranger(with_secret).search(),
                     lambda: stranger(without).search(), 200),
            Question("a stranger reads: a secret, nothing", lambda: stranger(with_secret).read(secret),
                     lambda: stranger(with_secret).read(absent), 404),
            Question("a stranger reads: masked, nothing", lambda: stranger(with_secret).read(masked),
                     lambda: stranger(with_secret).read(absent), 404),
        ]  # fmt: skip
        found = {each.name: await self._asked(each) for each in questions}
        console.print(_table(found))
        return found

    async def _family(self, register: Register, ins: Sequence[str]) -> list[Person]:
        this_year = time.gmtime().tm_year
        births = (this_year - 15, this_year - 15, this_year - 45)
        names = ("timing-secret", "timing-open", "timing-parent")
        records = await register({
            "persons": [
                {"reference": name, "status": "qualified", "system": _SYSTEM, "ins": number,
                 "traits": {"birth_name": "SYNTHETIQUE", "first_names": ["SACHA"], "sex": "F",
                            "birth_date": f"{birth}-03-28", "birth_place": "51215"}}
                for name, number, birth in zip(names, ins, births, strict=True)
            ],
            "representations": [
                {"represented": name, "holder": names[2], "role": "parent", "scopes": ["read", "govern", "journal"]}
                for name in names[:2]
            ],
        })  # fmt: skip
        people = [Person(records[name], number) for name, number in zip(names, ins, strict=True)]
        for each in people[:2]:  # identity's word comes by Kafka
            acting = Representative(holder=people[2].record, role="parent")
            end = time.monotonic() + 30
            while (await self._caller(each, representative=acting).search()).status != HTTPStatus.OK:
                if time.monotonic() > end:
                    raise RuntimeError("consent did not hear of the representation")
        return people

    async def _filled(self, with_secret: Person, without: Person) -> tuple[str, str]:
        """Deposit; return a secret document and a masked one of the first child."""
        for child in (with_secret, without):
            for _ in range(OPEN):
                await self._deposited(child, None)
        masked = [await self._deposited(child, _MASKED) for child in (with_secret, without)]
        secret = [await self._deposited(with_secret, _SECRET_LABEL) for _ in range(SECRET)]
        return secret[0], masked[0]

    async def _deposited(self, person: Person, label: str | None) -> str:
        report = laboratory_report(ins=person.ins, system_oid=SYSTEM_OID)
        labels = ((TRE_A07, label),) if label else ()
        request = orjson.dumps(document_reference(report, ins=person.ins, labels=labels))
        answer = await self._caller(person, author=True).deposit(request)
        if answer.status != HTTPStatus.CREATED:
            raise RuntimeError(f"a deposit was answered {answer.status}")
        return str(answer.json()["id"])

    async def _asked(self, question: Question) -> dict[str, Any]:
        ways = {"hidden": question.hidden, "absent": question.absent}
        turns = list(ways) * EACH_WAY
        random.shuffle(turns)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for number, name in enumerate([*list(ways) * (_WARM_UP // 2), *turns]):
            answer = await ways[name]()
            if answer.status != question.status:
                raise RuntimeError(f"{question.name}: {name} was answered {answer.status}")
            if number >= _WARM_UP:
                taken[name].append(answer.ms)
        return {name: _quantiles(each) for name, each in taken.items()} | apart(taken["hidden"], taken["absent"])

    def _caller(self, person: Person, *, representative: Representative | None = None, author: bool = False) -> Caller:
        """Return software with a fresh token: the parent's at the portal, or a doctor's."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "sub": "810000000009" if author else "810000000017", "actor": "professional", "name": "Dr Bench",
            "profession": "10", "purpose": "TREAT",
            "organisation": Organisation(id="920000009", name="Cabinet Bench"),
            "application": Application(id="logiciel", name="Logiciel", kind="care-software"),
        }  # fmt: skip
        if representative is not None:
            claims = {
                "sub": representative.holder, "actor": "representative", "name": "Alex Synthétique",
                "representative": representative, "purpose": "PATRQT",
                "application": Application(id="portail", name="Portail", kind="patient-frontend"),
            }  # fmt: skip
        token = AccessToken(
            record=person.record, patient=patient_digest(_SYSTEM, person.ins, person.record),
            auth_time=now, iat=now, exp=now + 300, jti=secrets.token_hex(8), **claims,
        )  # fmt: skip
        return Caller(self._session, self._stack.base, issue(token, self._key), f"{_SYSTEM}|{person.ins}")


def apart(one: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """Return how well a clock tells two samples apart (Mann-Whitney: P(one > other)), and two standard errors of it."""
    ordered = sorted(other)
    below = sum(bisect.bisect_left(ordered, each) + bisect.bisect_right(ordered, each) for each in one) / 2
    spread = 2 * ((len(one) + len(other) + 1) / (12 * len(one) * len(other))) ** 0.5
    return {"apart": round(below / (len(one) * len(other)), 4), "noise": round(spread, 4)}


def _quantiles(taken: list[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {f"p{each * 100:.0f}": round(ordered[int(len(ordered) * each)], 2) for each in _QUANTILES}


def _table(found: dict[str, Any]) -> Table:
    names = [f"p{each * 100:.0f}" for each in _QUANTILES]
    table = Table("asked", "of", *names, "apart", "noise", title=f"Can a clock tell? ms, {EACH_WAY} each way, in turn")
    for name, one in found.items():
        table.add_row(name, "hidden", *(f"{one['hidden'][each]:.1f}" for each in names), f"{one['apart']:.3f}",
                      f"+-{one['noise']:.3f}")  # fmt: skip
        table.add_row("", "absent", *(f"{one['absent'][each]:.1f}" for each in names), "", "")
    return table
