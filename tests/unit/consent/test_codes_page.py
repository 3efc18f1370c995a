"""One-time codes on paper: a French page that prints, for any browser and any screen reader, told once."""

from base64 import b64encode
from hashlib import sha256

import lxml.html
import orjson
import pytest
from lxml.html import HtmlElement

from services.consent.domain.codes import MOST_CODES
from services.consent.domain.flow import Actor
from tests.unit.chassis.asgi import Answer, ask
from tests.unit.consent.people import CAMILLE, MOREAU, RECORD
from tests.unit.consent.test_api import Interface, code
from tests.unit.consent.test_care_api import DAY_MS, HOUR_MS, _in, care, decided, hers, shown
from tests.unit.consent.tokens import access_token

_PEOPLE_S_BROWSERS = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def consent() -> Interface:
    """Open one record's interface."""
    return Interface()


async def printed(
    consent: Interface, count: int = 3, actor: Actor = CAMILLE, accept: str = _PEOPLE_S_BROWSERS, days: int = 30
) -> Answer:
    """Make codes, and have them as whoever accepts this gets them."""
    headers = {"authorization": f"Bearer {access_token(actor)}", "content-type": "application/json", "accept": accept}
    return await ask(consent.app, "POST", "/consent/codes", orjson.dumps({"count": count, "days": days}), headers)


def page_of(answer: Answer) -> HtmlElement:
    """Return the page."""
    assert answer.status == 201, answer
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return lxml.html.document_fromstring(answer.body.decode())


@pytest.mark.parametrize("count", [1, 3, MOST_CODES])
async def test_a_list_is_printed_and_its_codes_are_hers(consent: Interface, count: int) -> None:
    """Each code stands once in the page, in a row of its own with room to write to whom it went; and it opens."""
    page = page_of(await printed(consent, count))
    codes = [each.text_content() for each in page.cssselect("tbody td.code")]
    assert len(set(codes)) == len(codes) == count
    assert len(page.cssselect("tbody tr")) == count
    assert await shown(consent, codes[-1]) == (202, None)
    assert await decided(consent) == ("allowed", "one-time-code")


async def test_the_page_is_for_everybody(consent: Interface) -> None:
    """Its language, a title, one heading above the others, a table with caption and headed columns and rows."""
    page = page_of(await printed(consent))
    assert page.get("lang") == "fr"
    assert page.findtext("head/title") == "Vos codes à usage unique - Carnet"
    assert [each.tag for each in page.cssselect("h1, h2, h3")] == ["h1", "h2"]
    assert len(page.cssselect("main")) == 1
    assert page.cssselect("table > caption")[0].text_content().strip()
    assert {each.get("scope") for each in page.cssselect("thead th")} == {"col"}
    assert all(each.cssselect("th[scope=row]") for each in page.cssselect("tbody tr"))


async def test_the_page_says_what_a_code_does(consent: Interface) -> None:
    """Once, for one person, until when, how long it opens for, and what to do when the sheet is lost."""
    said = " ".join(page_of(await printed(consent)).text_content().split())
    for each in ("une seule fois", "à une seule personne", "jusqu'au", "24 heures", "perdue", "mettez fin"):
        assert each in said


async def test_the_page_is_alone(consent: Interface) -> None:
    """No script, nothing from outside, nothing sent; its own style is named by its digest; nobody keeps a copy."""
    answer = await printed(consent)
    page = page_of(answer)
    assert page.cssselect("script, link, img, iframe, form, a, object, [onclick], [style]") == []
    (style,) = page.cssselect("style")
    named = b64encode(sha256(style.text_content().encode()).digest()).decode()
    assert f"style-src 'sha256-{named}'" in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["content-language"] == "fr"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_whoever_finds_the_sheet_does_not_learn_whose_it_is(consent: Interface) -> None:
    """Neither a name nor a number of hers is in it."""
    body = (await printed(consent)).body.decode()
    assert CAMILLE.name not in body
    assert RECORD not in body


@pytest.mark.parametrize("accept", ["application/json", "*/*", "", "text/html, application/json"])
async def test_a_program_gets_json_as_before(consent: Interface, accept: str) -> None:
    """Whoever does not ask for a page alone gets none, and no copy of it is kept either."""
    answer = await printed(consent, accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (201, "application/json")
    assert len(orjson.loads(answer.body)["codes"]) == 3
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["vary"] == "Accept"


async def test_no_page_is_printed_for_anybody_else(consent: Interface) -> None:
    """A professional is told 403 as ever, and too many is too many."""
    assert code(await printed(consent, actor=MOREAU)) == (403, "not-for-you")
    assert code(await printed(consent, MOST_CODES + 1)) == (422, "invalid-request")


async def test_a_code_opens_for_a_consultation(consent: Interface) -> None:
    """Without a word of how long, a day; longer where the software asks for it, and half a year at most."""
    assert (await care(consent, {"evidence": "code", "code": await hers(consent)})).status == 202
    consent.ahead = DAY_MS - 60_000
    assert await decided(consent) == ("allowed", "one-time-code")
    consent.ahead = DAY_MS + 1_000
    assert (await decided(consent))[0] == "refused"
    asked = {"evidence": "code", "code": await hers(consent), "until": _in(consent, 180 * DAY_MS - HOUR_MS)}
    assert (await care(consent, asked)).status == 202
    consent.ahead += 170 * DAY_MS
    assert await decided(consent) == ("allowed", "one-time-code")
    beyond = {"evidence": "code", "code": await hers(consent), "until": _in(consent, 181 * DAY_MS)}
    assert code(await care(consent, beyond)) == (422, "care-time")
