"""The glass is broken: from the front door to whoever must learn of it, and to the answer that the patient reads."""

import secrets
import time
from typing import Any

from chassis.tokens import EVERY_RECORD, Emergency, Organisation
from services.consent.domain.review import DPO
from services.notifications.domain import SENTENCES, SENTENCES_FOR_ANOTHER, Kind
from tests.integration.observing import eventually
from tests.journeys.records import PATIENT, Opened, doctor

TEXT = "Trouvée inconsciente sur la voie publique"
ANSWER = {"answer": "L'accès était nécessaire : la patiente était inconsciente.", "justified": True}


def _digits(number: int) -> str:
    return "".join(secrets.choice("0123456789") for _ in range(number))


async def test_whoever_must_learn_of_a_break_glass_does(record: Opened) -> None:
    """Patient, parent, treating doctor and officer, within seconds, though she opposes her record right afterwards."""
    ward = Organisation(id=f"93{_digits(7)}", name="Hôpital synthétique")
    stranger = doctor(f"100{_digits(8)}") | {"organisation": ward, "name": "Dr Urgence"}
    treating = doctor(f"101{_digits(8)}") | {"name": "Dr Traitant"}
    officer = stranger | {"profession": DPO, "sub": f"8102{_digits(8)}", "name": "Claude Garde"}
    patient = record.caller(PATIENT)
    parent = record.caller(
        PATIENT | {"actor": "representative", "representative": {"holder": "a" * 26, "role": "parent"}}
    )
    assert (await patient.begin(kind="treating-doctor", professional=treating["sub"])).status == 201
    deposited = await record.caller(treating).deposit(record.request())
    assert deposited.status == 201

    reason = Emergency(code="unconscious", text=TEXT)
    seen = await record.caller(stranger, purpose="BTG", emergency=reason).search()
    assert seen.ids == [deposited.json()["id"]]
    broken = time.monotonic()
    assert (await patient.begin(kind="oppose")).status == 201

    async def told() -> list[dict[str, Any]] | None:
        items = (await patient.inbox()).json()["items"]
        return [each for each in items if each["kind"] == Kind.EMERGENCY_ACCESS] or None

    (item,) = await eventually(told, 10) or []
    assert time.monotonic() - broken < 10
    assert item["sentence"] == SENTENCES[Kind.EMERGENCY_ACCESS]
    assert SENTENCES_FOR_ANOTHER[Kind.EMERGENCY_ACCESS] in (await parent.inbox()).body.decode()

    for token_of in (record.record, EVERY_RECORD):
        asked = await record.caller(treating, record=token_of).ask("GET", "/consent/emergencies")
        (his,) = asked.json()["emergencies"]
        assert (his["record"], his["who"]["name"], his["who"]["organisation"]) == (
            record.record, "Dr Urgence", "Hôpital synthétique",
        )  # fmt: skip
        assert his["phrase"].endswith("Motif : « La personne est inconsciente ».")
        assert TEXT not in asked.body.decode()
    other = await record.caller(stranger).ask("GET", "/consent/emergencies")
    assert (other.status, other.json()) == (200, {"emergencies": [], "next": None})

    owing = record.caller(officer, record=EVERY_RECORD)
    (owed,) = (await owing.ask("GET", "/consent/reviews")).json()["reviews"]
    assert (owed["record"], owed["reason"]) == (record.record, {"code": "unconscious", "text": TEXT})
    assert (await owing.ask("POST", f"/consent/reviews/{owed['flow']}/answer", json=ANSWER)).status == 201
    assert (await owing.ask("GET", "/consent/reviews")).json()["reviews"] == []

    entries = (await patient.journal(_count=50)).json()["entries"]
    phrases = [each["phrase"] for each in entries if each.get("flow") == owed["flow"]]
    answered, looked, warned, opened = phrases
    assert f"il était justifié. Réponse : « {ANSWER['answer']} »" in answered
    assert "Claude Garde, pour la protection des données de Hôpital synthétique, a examiné l'accès en urgence" in looked
    assert (
        "le médecin traitant, Dr Traitant (Cabinet synthétique, logiciel Logiciel), a été averti de l'accès" in warned
    )
    assert "Dr Urgence (Hôpital synthétique, logiciel Logiciel) a vu la liste des documents" in opened
    assert f"Raison donnée : « {TEXT} »." in opened
