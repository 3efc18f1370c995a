"""Heirs, through the front door: they say why, read for thirty days what was not hidden, and find nothing else."""

import asyncio

from tests.journeys.records import PATIENT, Opened, acting, doctor, represent

HEIR, OTHER = "h" * 26, "i" * 26
ASKED = {"motive": "cause-of-death", "text": "Je suis sa fille et je veux savoir de quoi elle est morte."}


async def test_an_heir_asks_then_reads_and_nobody_else_does(record: Opened) -> None:
    """Refused with the way out, then let in by a request of one's own; what she hid is not there, for list nor read."""
    moreau, patient = record.caller(doctor()), record.caller(PATIENT)
    shown = (await moreau.deposit(record.request())).json()["id"]
    hidden = (await moreau.deposit(record.request(record.report(body="caché")))).json()["id"]
    assert (await patient.begin(kind="hide", document=hidden)).status == 201
    await represent(record, deceased=True, heirs=(HEIR, OTHER))
    heir, other = (record.caller(acting(each, "heir")) for each in (HEIR, OTHER))

    refused = await heir.search()
    assert (refused.status, refused.code) == (403, "heir-without-request")
    assert "dit d'abord pourquoi" in refused.body.decode()
    asked = await heir.ask("POST", "/consent/heirs/requests", json=ASKED)
    assert (asked.status, asked.json()["motive"]) == (201, "cause-of-death")
    assert (await heir.search()).ids == [shown]
    assert (await heir.read(shown)).status == 200
    assert ((await heir.read(hidden)).status, (await other.read(shown)).status) == (404, 403)
    # A request opens documents alone: no journal, no choices, no inbox; and to nobody but who made it.
    assert [(await heir.journal()).json()["rule"], (await heir.directives()).json()["rule"]] == ["deceased"] * 2
    assert (await heir.inbox()).status == 403
    assert (await patient.read(shown)).status == 403
    assert (await moreau.search()).ids == []

    # Said dead by mistake, she reads who looked, and what for; and nobody reads any more.
    await represent(record)
    assert (await heir.search()).code == "not-a-representative"
    phrases = [each["phrase"] for each in (await patient.journal(_count=100)).json()["entries"]]
    looks = [each for each in phrases if ", Alex Synthétique, ayant droit (logiciel Portail) a lu un document" in each]
    assert len(looks) == 1
    assert "pour connaître les causes du décès" in looks[0]
    assert any(f"Raison donnée : « {ASKED['text']} »." in each for each in phrases)


async def test_who_was_opposed_while_alive_is_refused(record: Opened) -> None:
    """Her word holds after her death: an heir is told so, and reads nothing."""
    patient = record.caller(PATIENT)
    assert (await patient.begin(kind="oppose-heirs")).status == 201
    await represent(record, deceased=True, heirs=(HEIR,))
    heir = record.caller(acting(HEIR, "heir"))
    asked, listed = await asyncio.gather(
        heir.ask("POST", "/consent/heirs/requests", json=ASKED), heir.search()
    )  # fmt: skip
    assert (asked.status, asked.json()["rule"]) == (403, "heirs-opposed")
    assert (listed.status, listed.code) == (403, "heirs-opposed")
