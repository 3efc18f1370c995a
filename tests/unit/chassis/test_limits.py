"""How often one may ask: evenly, per application, professional and record, and without a word about anybody else."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import orjson
import pytest
from fastapi import APIRouter, Depends, FastAPI
from prometheus_client import REGISTRY

from chassis import limits as subject
from chassis.limits import Limits, TooMany
from chassis.settings import LimitSettings
from chassis.tokens import AccessToken, Application, Emergency, Representative, TokenVerifier, issue, signing_jwk
from chassis.web import authenticated, create_app
from tests.unit.chassis.asgi import Answer, ask

KEY = signing_jwk("identity-1", bytes(range(32)))
RECORD, OTHER = "carnetexamplerecordaaaa234", "carnetexamplerecordbbbb234"


def token(**said: Any) -> AccessToken:
    """Return the claims of a professional's token."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": "899700000001", "actor": "professional", "name": "Dr Moreau", "profession": "10", "purpose": "TREAT",
        "application": Application(id="logiciel", name="Logiciel", kind="care-software"), "record": RECORD,
        "patient": "p", "auth_time": now, "iat": now, "exp": now + 300, "jti": "j",
    }  # fmt: skip
    return AccessToken(**claims | said)


class Clock:
    """A clock that the test moves."""

    now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def limits(clock: Clock | None = None, **small: int) -> Limits:
    """Return limits, small where they are named."""
    return Limits(LimitSettings(**small), clock or Clock())


def taken(given: Limits, most: int, **said: Any) -> int:
    """Return how many of so many requests were let through."""
    done = 0
    for _ in range(most):
        try:
            given.take(token(**said))
        except TooMany:
            break
        done += 1
    return done


@pytest.mark.parametrize("scope", ["application", "professional", "record"])
def test_a_minute_s_worth_may_be_asked_at_once_and_no_more(scope: str) -> None:
    """Six a minute: six, then none; ten seconds later one."""
    clock = Clock()
    given = limits(clock, **{f"{scope}_per_minute": 6})
    assert taken(given, 20) == 6
    with pytest.raises(TooMany) as refused:
        given.take(token())
    assert refused.value.seconds == 10
    clock.now += 9.5
    with pytest.raises(TooMany) as refused:
        given.take(token())
    assert refused.value.seconds == 1
    clock.now += 0.5
    assert taken(given, 20) == 1
    clock.now += 600
    assert taken(given, 20) == 6


def test_who_asks_of_every_record_shares_no_record_s_number() -> None:
    """Their own number and their software's hold; one officer's haste keeps no other from what is owed."""
    everybodys = {"record": "public", "patient": ""}
    given = limits(record_per_minute=1, professional_per_minute=6)
    assert taken(given, 20, **everybodys) == 6
    assert taken(given, 20, sub="899700000002", **everybodys) == 6


PROFESSIONAL = {"sub": "899700000002"}
SOFTWARE = {"application": Application(id="autre", name="Autre", kind="care-software")}
PATIENT = {"actor": "patient", "sub": RECORD, "purpose": "PATRQT"}
PARENT = {"actor": "representative", "sub": OTHER, "purpose": "PATRQT",
          "representative": Representative(holder=OTHER, role="parent")}  # fmt: skip
EMERGENCY = {"purpose": "BTG", "emergency": Emergency(code="other", text="because")}


@pytest.mark.parametrize(
    ("scope", "free", "bound"),
    [
        ("application", [SOFTWARE, EMERGENCY], [PROFESSIONAL, {"record": OTHER}, PATIENT]),
        ("professional", [PROFESSIONAL, PATIENT, EMERGENCY], [SOFTWARE, {"record": OTHER}]),
        ("record", [{"record": OTHER}, PATIENT, PARENT, EMERGENCY], [SOFTWARE, PROFESSIONAL]),
    ],
)
def test_a_limit_holds_who_it_is_about_and_nobody_else(
    scope: str, free: list[dict[str, Any]], bound: list[dict[str, Any]]
) -> None:
    """Above all: nobody who hammers a record keeps its person, or an emergency, from it."""
    given = limits(None, **{f"{scope}_per_minute": 3})
    assert taken(given, 9) == 3
    assert [taken(given, 1, **each) for each in bound] == [0] * len(bound)
    assert [taken(given, 1, **each) for each in free] == [1] * len(free)


def test_what_is_refused_by_one_limit_uses_up_no_other() -> None:
    """A professional who is past his own number takes nothing from his software's or the record's."""
    given = limits(application_per_minute=5, record_per_minute=5, professional_per_minute=2)
    assert taken(given, 2) == 2
    assert taken(given, 1) == 0
    assert taken(given, 9, **PROFESSIONAL) == 2
    assert taken(given, 9, sub="899700000003") == 1


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asked longest ago is forgotten first."""
    monkeypatch.setattr(subject, "_REMEMBERED", 4)
    given = limits(record_per_minute=1)
    assert taken(given, 9) == 1
    for number in range(4):
        given.take(token(record=f"record-{number}"))
        assert len(given._full_at) <= 4
    assert taken(given, 9) == 1


def test_threads_take_what_there_is_and_no_more() -> None:
    """FastAPI calls a dependency in threads: four hundred at once, fifty are let through."""
    given = limits(professional_per_minute=50)
    with ThreadPoolExecutor(16) as pool:
        done = list(pool.map(lambda _: taken(given, 1), range(400)))
    assert sum(done) == 50


# -- over HTTP


@pytest.fixture
def app() -> FastAPI:
    """Return an application that lets a professional ask twice a minute."""
    verifier = TokenVerifier()
    verifier.use({"keys": [KEY.as_dict(private=False)]})
    routes = APIRouter()

    @routes.get("/who")
    async def who(caller: Annotated[AccessToken, Depends(authenticated(verifier))]) -> dict[str, str]:
        return {"record": caller.record}

    return create_app("test", [routes], {}, limits=limits(professional_per_minute=2))


async def called(app: FastAPI, **said: Any) -> Answer:
    """Ask who one is."""
    return await ask(app, "GET", "/who", headers={"authorization": f"Bearer {issue(token(**said), KEY)}"})


async def test_too_many_is_a_problem_that_says_when(app: FastAPI) -> None:
    """429, a stable code and Retry-After; the same bytes for a record that is there and one that is not."""
    assert [(await called(app)).status for _ in range(2)] == [200, 200]
    refused = [await called(app), await called(app, record="z" * 26)]
    assert (refused[0].status, refused[0].body) == (refused[1].status, refused[1].body)
    assert (refused[0].status, refused[0].headers["retry-after"]) == (429, "30")
    assert orjson.loads(refused[0].body)["code"] == "too-many-requests"
    assert RECORD not in refused[0].body.decode()
    assert (await called(app, **PATIENT)).status == 200


async def test_too_many_is_counted_by_whose_number_it_was(app: FastAPI) -> None:
    """Operators see which limit is met, and nobody's name."""
    before = REGISTRY.get_sample_value("carnet_limited_total", {"scope": "professional"}) or 0
    for _ in range(5):
        await called(app)
    assert REGISTRY.get_sample_value("carnet_limited_total", {"scope": "professional"}) == before + 3


async def test_a_token_that_is_not_believed_uses_up_nothing(app: FastAPI) -> None:
    """A stranger who names a professional's number cannot spend it."""
    foreign = issue(token(), signing_jwk("identity-1", bytes(range(1, 33))))
    for _ in range(5):
        answer = await ask(app, "GET", "/who", headers={"authorization": f"Bearer {foreign}"})
        assert answer.status == 401
    assert (await called(app)).status == 200
