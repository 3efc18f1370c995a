"""INS, RPPS and FINESS: their forms and their keys."""

import json
from pathlib import Path

import pytest

from services.identity.domain.identifiers import NIA, NIR, BadIdentifier, Ins, luhn_holds, require_finess, require_rpps
from services.identity.registry_file import parse

TEST = "urn:oid:1.2.250.1.213.1.4.10"
PEOPLE = (Path(__file__).parents[3] / "deploy/local/people.json").read_bytes()
VALID = [
    "284058832102532",
    "284052A32102552",
    "284052B32102579",
    "284202B32102528",
    "284992B32102531",
    "279035121518989",
]


@pytest.mark.parametrize("value", VALID)
async def test_a_valid_ins_is_taken(value: str) -> None:
    """The key of an INS is 97 - (number mod 97), with Corsica's 2A as 19 and 2B as 18."""
    assert Ins.parse(f"{TEST}|{value}").value == value


@pytest.mark.parametrize("value", VALID)
async def test_any_other_key_of_a_valid_ins_is_refused(value: str) -> None:
    """Of the hundred keys of two digits, one holds."""
    wrong = [f"{key:02}" for key in range(100) if f"{key:02}" != value[13:]]
    for key in wrong:
        with pytest.raises(BadIdentifier, match="key"):
            Ins(TEST, value[:13] + key)


@pytest.mark.parametrize(
    "value",
    [
        "255081416802500",
        "28405883210253",
        "2840588321025322",
        "2A4058832102532",
        "284052C32102552",
        "284052a32102552",
        "28405883210253٢",
        " 284058832102532",
        "284058832102532\n",
        "",
    ],
)
async def test_an_invalid_ins_is_refused_and_not_quoted(value: str) -> None:
    """A wrong key, length, letter, alphabet or space is refused; the error does not repeat the number."""
    with pytest.raises(BadIdentifier) as refused:
        Ins(TEST, value)
    assert not value.strip() or value.strip() not in str(refused.value)


@pytest.mark.parametrize("system", ["", "1.2.250.1.213.1.4.10", "urn:oid:1.2.250.1.213.1.4.12", f"{TEST} "])
async def test_an_ins_stands_under_one_of_its_systems(system: str) -> None:
    """Any other system, or the same one written otherwise, is refused."""
    with pytest.raises(BadIdentifier, match="system"):
        Ins(system, VALID[0])


async def test_an_ins_shows_itself_nowhere() -> None:
    """Its representation, which tracebacks and logs may hold, has no digit of it."""
    ins = Ins(TEST, VALID[0])
    assert VALID[0] not in f"{ins!r} {ins}"


async def test_a_waiting_number_gives_way_to_the_final_one() -> None:
    """A record passes from a NIA to a NIR, and to nothing else."""
    waiting, final = Ins(NIA, VALID[0]), Ins(NIR, VALID[5])
    assert waiting.may_become(final)
    assert final.may_become(final)
    assert not final.may_become(waiting)
    assert not final.may_become(Ins(NIR, VALID[0]))


async def test_an_rpps_number_ends_with_its_luhn_key() -> None:
    """The official sample that passes is taken, and the one that does not is refused."""
    assert require_rpps("01234567897") == "01234567897"
    for wrong in ("01234534765", "1234567897", "801234567897", "0123456789A", "01234567897\n"):
        with pytest.raises(BadIdentifier):
            require_rpps(wrong)


async def test_a_finess_number_ends_with_its_luhn_key() -> None:
    """The public numbers of two hospitals are taken, a changed digit is not, and Corsica has a letter."""
    for right in ("750712184", "690781810", "2A0000014", "2B0000020"):
        assert require_finess(right) == right
    for wrong in ("750712185", "120459876", "75071218", "2C0000014", "7507121840", "75071218٤"):
        with pytest.raises(BadIdentifier):
            require_finess(wrong)


async def test_luhn_sees_every_single_error() -> None:
    """Any one changed digit breaks the key: what it is for."""
    number = "01234567897"
    for at, digit in enumerate(number):
        for other in set("0123456789") - {digit}:
            assert not luhn_holds(number[:at] + other + number[at + 1 :])


async def test_the_demo_people_can_be_registered() -> None:
    """The file that `make up` registers has no fault once its applications have keys."""
    people = json.loads(PEOPLE)
    for application in people["applications"]:
        application["jwk"] = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}
    assert parse(json.dumps(people).encode()).faults == ()
