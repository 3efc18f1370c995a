"""Emergencies: what a reason is, how fresh a sign-in, what is counted, and the way out of a limit."""

from dataclasses import replace
from typing import Any

import pytest

from contracts.identity import EMERGENCY_REASONS
from services.identity.domain.emergency import EmergencyRules, Full, Limit, Quota, require_reason, too_many
from services.identity.domain.links import PURPOSES, Refused, require_links
from services.identity.domain.people import Application, Professional

NOW = 1_800_000_000.0
TEXT = "Trouvée sans connaissance."
RULES = EmergencyRules(600, {"BTG": Quota(20, 200), "ETREAT": Quota(500, 2_000)})
SOFTWARE = Application("samu", "SAMU", "care-software", "", frozenset({"489999045"}), PURPOSES["care-software"])
DOCTOR = Professional("01234567897", "Dr Nom", "10", frozenset({"489999045"}))


def refusal(purpose: str, claim: Any) -> str:
    """Return the slug with which a reason is refused."""
    with pytest.raises(Refused) as refused:
        require_reason(purpose, claim, EMERGENCY_REASONS)
    assert TEXT not in refused.value.sentence
    return refused.value.slug


@pytest.mark.parametrize("purpose", ["BTG", "ETREAT"])
@pytest.mark.parametrize("code", EMERGENCY_REASONS)
async def test_every_code_of_the_list_is_taken(purpose: str, code: str) -> None:
    """A code and a text are the reason; each code has a French label."""
    reason = require_reason(purpose, {"code": code, "text": TEXT}, EMERGENCY_REASONS)
    assert reason is not None
    assert (reason.code, reason.text) == (code, TEXT)
    assert EMERGENCY_REASONS[code]


async def test_an_emergency_without_its_reason_is_refused() -> None:
    """Whatever is no code and text says nothing."""
    assert refusal("BTG", None) == refusal("ETREAT", None) == "emergency-missing"
    claims: list[Any] = ["unconscious", [], {}, {"code": "other"}, {"text": TEXT}, {"code": "other", "text": 7}]
    for claim in claims:
        assert refusal("BTG", claim) == "emergency-malformed"
    assert refusal("BTG", {"code": "other", "text": TEXT, "more": 1}) == "emergency-malformed"
    for code in ("", "OTHER", "urgent", "life-threatening "):
        assert refusal("BTG", {"code": code, "text": TEXT}) == "emergency-malformed"


async def test_a_reason_goes_with_emergencies_alone() -> None:
    """Care, and any other purpose, takes none: nobody may believe that a reason changed something."""
    for purpose in ("TREAT", "PATRQT", "btg", ""):
        assert refusal(purpose, {"code": "other", "text": TEXT}) == "emergency-unexpected"
        assert require_reason(purpose, None, EMERGENCY_REASONS) is None


async def test_the_text_has_ten_to_five_hundred_characters_that_say_something() -> None:
    """White space is not counted, and comes out single; control characters and overrides are no text."""
    for text in ("a" * 9, "a" * 501, " " * 20, "a   \n\t     b", "\u202e" + TEXT, TEXT + "\x00", TEXT + "\ud800"):
        assert refusal("BTG", {"code": "other", "text": text}) == "emergency-malformed"
    for text in ("a" * 10, "a" * 500, "  " + "a" * 500 + "\n"):
        require_reason("BTG", {"code": "other", "text": text}, EMERGENCY_REASONS)
    reason = require_reason("BTG", {"code": "other", "text": " Vue  à\r\nl'accueil "}, EMERGENCY_REASONS)
    assert reason is not None
    assert reason.text == "Vue à l'accueil"
    assert "Vue" not in repr(reason)


@pytest.mark.parametrize(
    "number", ["279035121518989", "2 79 03 51 215 189 89", "2.79-03.51215189 89", "284052A32102552"]
)
async def test_the_text_names_no_matricule(number: str) -> None:
    """An INS has no place in a token, however it is spaced; other numbers may stand there."""
    assert refusal("BTG", {"code": "other", "text": f"Patiente {number} inconsciente"}) == "emergency-malformed"
    require_reason("BTG", {"code": "other", "text": "Pouls 40, tension 8/5, appel 15 à 14 h 02"}, EMERGENCY_REASONS)


async def test_the_glass_is_broken_right_after_a_sign_in() -> None:
    """Ten minutes are the most for BTG; the regulating doctor's shift is one session; care is not asked."""
    RULES.require_recent("BTG", int(NOW) - 600, NOW)
    with pytest.raises(Refused) as refused:
        RULES.require_recent("BTG", int(NOW) - 601, NOW)
    assert refused.value.slug == "sign-in-too-old"
    for purpose in ("ETREAT", "TREAT"):
        RULES.require_recent(purpose, int(NOW) - 40_000, NOW)


async def test_only_the_samus_doctor_regulates() -> None:
    """ETREAT needs the registration that says so, and the application's purpose too; BTG is any professional's."""
    samu = replace(DOCTOR, samu=True)
    assert require_links(SOFTWARE, samu, "489999045", "ETREAT") is samu
    assert require_links(SOFTWARE, DOCTOR, "489999045", "BTG") is DOCTOR
    with pytest.raises(Refused) as refused:
        require_links(SOFTWARE, DOCTOR, "489999045", "ETREAT")
    assert refused.value.slug == "not-a-regulating-doctor"
    for purpose in ("BTG", "ETREAT"):
        with pytest.raises(Refused) as refused:
            require_links(replace(SOFTWARE, purposes=frozenset({"TREAT"})), samu, "489999045", purpose)
        assert refused.value.slug == "purpose-not-allowed"


async def test_each_purpose_has_its_own_numbers() -> None:
    """A professional's day and an application's hour, apart for BTG and ETREAT, apart from anybody else's."""
    day, hour = RULES.limits("BTG", "8a", "app")
    assert (day.most, day.seconds, hour.most, hour.seconds) == (20, 86_400, 200, 3_600)
    names = {
        limit.name
        for purpose in ("BTG", "ETREAT")
        for who in ("8a", "8b")
        for limit in RULES.limits(purpose, who, f"app-{who}")
    }
    assert len(names) == 8
    assert RULES.limits("ETREAT", "8a", "app")[0].most > day.most


async def test_a_limit_tells_the_way_out() -> None:
    """When the next may be had, and what is open until then; whose limit it is has a slug of its own."""
    full = Full(Limit("BTG:professional:8a", "professional", 20, 86_400), NOW + 3_725)
    refused = too_many(full, NOW)
    assert refused.slug == "emergency-limit"
    for said in ("20 emergency tokens", "24 hours", "1 h 03 min", "TREAT", "SAMU (15)"):
        assert said in refused.sentence
    assert "8a" not in refused.sentence
    other = too_many(Full(Limit("BTG:application:app", "application", 200, 3_600), NOW + 1), NOW)
    assert other.slug == "emergency-limit-of-application"
    assert "an hour" in other.sentence
    assert "0 h 01 min" in other.sentence
