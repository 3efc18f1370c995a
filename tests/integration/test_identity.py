"""The token endpoint on a real database: who gets a token, of what, and why others do not."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import orjson
import pytest
import uvicorn
from joserfc import jwt
from joserfc.jwk import OKPKey

from chassis.sealing import b64
from chassis.settings import HttpSettings, KafkaSettings, MongoSettings
from chassis.tokens import AccessToken, TokenRefused, TokenVerifier, patient_digest
from chassis.trust import Authority
from chassis.web import create_app
from services.identity import registry_file
from services.identity.api import CLIENT_ASSERTION, CLIENT_CREDENTIALS, JWT_BEARER, router
from services.identity.bootstrap import bootstrap, registering
from services.identity.settings import Database, EmergencySettings, IdentitySettings, TokenSettings
from tests.integration.conftest import Engines

TEST = "urn:oid:1.2.250.1.213.1.4.10"
ANNE, BASILE = f"{TEST}|279035121518989", f"{TEST}|169076311399207"
CABINET, CENTRE = "489999011", "489999029"
DOCTOR, COLLEAGUE = "801000000115", "801000000222"
OFFICER = f"3{CABINET}/dpo"
BASE = "http://localhost:8080"
KEYS = {name: OKPKey.generate_key("Ed25519") for name in ("logiciel", "autre", "urgences", "assureur", "portail")}


def jwk(client_id: str) -> dict[str, str]:
    """Return the public key of a test application."""
    return {"kty": "OKP", "crv": "Ed25519", "x": str(KEYS[client_id].as_dict(private=False)["x"])}


def person(reference: str, ins: str, status: str = "qualified") -> dict[str, Any]:
    """Return a person to register; `ins` is `<system>|<INS>`."""
    system, _, value = ins.partition("|")
    traits = {
        "birth_name": "NOM", "first_names": ["ANNE"], "sex": "F", "birth_date": "1979-03-28", "birth_place": "51215",
    }  # fmt: skip
    return {"reference": reference, "status": status, "system": system, "ins": value, "traits": traits}


def professional(rpps: str, organisation: str, **more: Any) -> dict[str, Any]:
    """Return a doctor to register."""
    named = {"title": "Dr", "given_name": "Alix", "family_name": "Nom", "profession": "10"}
    return named | {"rpps": rpps, "organisations": [organisation]} | more


PEOPLE: dict[str, Any] = {
    "organisations": [{"finess": CABINET, "name": "Cabinet"}, {"finess": CENTRE, "name": "Centre"}],
    "professionals": [
        professional("01000000115", CABINET), professional("01000000222", CENTRE),
        {"internal_id": f"{CABINET}/dpo", "given_name": "Claude", "family_name": "Garde", "profession": "dpo",
         "organisations": [CABINET]},
    ],
    "applications": [
        {
            "client_id": "logiciel", "name": "Logiciel", "kind": "care-software", "jwk": jwk("logiciel"),
            "organisations": [CABINET], "purposes": ["TREAT"],
        },
        {
            "client_id": "autre", "name": "Autre", "kind": "care-software", "jwk": jwk("autre"),
            "organisations": [CENTRE], "purposes": ["TREAT", "PATADMIN"],
        },
        {
            "client_id": "assureur", "name": "Assurance", "kind": "insurer", "jwk": jwk("assureur"),
            "purposes": ["COVERAGE"],
        },
        {
            "client_id": "portail", "name": "Portail", "kind": "patient-frontend", "jwk": jwk("portail"),
            "purposes": ["PATRQT"], "signs_patients_in": True,
        },
    ],
    "persons": [person("anne", ANNE), person("basile", BASILE, "validated")],
}  # fmt: skip


def settings(
    mongo: MongoSettings, kafka: KafkaSettings, keys: Path, *, demo: bool = True, base: str = BASE, **emergency: int
) -> IdentitySettings:
    """Return identity's settings for a test; more arguments are the bounds of emergencies."""
    return IdentitySettings(
        environment="local",
        instance="identity-1",
        public_base=base,
        kafka=kafka,
        mongo=Database(uri=mongo.uri, database=mongo.database),
        http=HttpSettings(),
        tokens=TokenSettings(token_keys=keys, demo=demo),
        emergency=EmergencySettings(**emergency),
    )


@dataclass(frozen=True)
class Served:
    """A token endpoint, what registered with it, and the verifier that the other services have."""

    url: str
    records: dict[str, str]
    verifier: TokenVerifier
    http: aiohttp.ClientSession

    def signed(self, client_id: str, key: str = "", without: str = "", **claims: Any) -> str:
        """Return an assertion by an application, with these claims changed."""
        whole = {
            "iss": client_id, "sub": client_id, "aud": f"{BASE}/identity/token", "exp": int(time.time()) + 60,
            "jti": uuid4().hex,
        } | claims  # fmt: skip
        whole.pop(without, None)
        return jwt.encode({"alg": "Ed25519"}, whole, KEYS[key or client_id], algorithms=["Ed25519"])

    def grant(self, client_id: str = "logiciel", **changed: Any) -> str:
        """Return the assertion of a professional's grant, with these claims changed."""
        claims: dict[str, Any] = {"sub": DOCTOR, "organisation": CABINET, "patient": ANNE}
        return self.signed(client_id, **(claims | {"auth_time": int(time.time()) - 60} | changed))

    async def post(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """Post, check what every answer has in common, return status and body."""
        async with self.http.post(self.url + path, **body) as response:
            said = await response.json(content_type=None)
            assert ANNE.partition("|")[2] not in orjson.dumps(said).decode().replace(said.get("access_token", "-"), "")
            if "/token" in path:
                assert response.headers["Cache-Control"] == "no-store"
            return response.status, said

    async def ask(self, client_id: str = "logiciel", proof: str = "", **form: str) -> tuple[int, dict[str, Any]]:
        """Ask the token endpoint as an application does."""
        client = {"client_assertion_type": CLIENT_ASSERTION, "client_assertion": proof or self.signed(client_id)}
        return await self.post("/identity/token", data=client | form)

    async def professional(self, client_id: str = "logiciel", **changed: Any) -> tuple[int, dict[str, Any]]:
        """Ask for a professional's token, with these claims of the grant changed."""
        return await self.ask(client_id, grant_type=JWT_BEARER, assertion=self.grant(client_id, **changed))

    def read(self, said: tuple[int, dict[str, Any]]) -> AccessToken:
        """Return the claims of a token that was issued, as any service verifies it."""
        status, body = said
        assert (status, body.get("token_type"), body.get("expires_in")) == (200, "Bearer", 300), body
        return self.verifier.verify(body["access_token"])


def refused(said: tuple[int, dict[str, Any]]) -> tuple[int, str, str]:
    """Return status, error and slug of a refusal."""
    status, body = said
    assert set(body) == {"error", "error_description"}
    return status, body["error"], body["error_description"].partition(":")[0]


@asynccontextmanager
async def serving(told: IdentitySettings, people: dict[str, Any] = PEOPLE) -> AsyncIterator[Served]:
    """Serve identity on a free port, with these people."""
    async with bootstrap(told) as room, registering(told) as register:
        done = await register(registry_file.parse(orjson.dumps(people)))
        verifier = TokenVerifier()
        verifier.use({"keys": list(room.keys.public)})
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            app = create_app("identity", [router(room)], {"mongo": room.reachable})
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
            running = asyncio.create_task(server.serve(sockets=[taken]))
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            async with aiohttp.ClientSession() as http:
                yield Served(f"http://127.0.0.1:{taken.getsockname()[1]}", done.records, verifier, http)
            server.should_exit = True
            with suppress(asyncio.CancelledError):
                await running


@pytest.fixture(scope="module")
def keys(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make identity's token keys."""
    file = tmp_path_factory.mktemp("keys") / "token-keys.json"
    authority.token_keys(out=file)
    return file


@pytest.fixture(scope="module")
async def served(engines: Engines, keys: Path) -> AsyncIterator[Served]:
    """Serve one identity, with its demo sign-in, for the tests of this file."""
    mongo = MongoSettings(uri=engines.mongo, database=f"test_{uuid4().hex[:12]}")
    async with serving(settings(mongo, engines.kafka, keys)) as given:
        yield given


async def test_a_professional_gets_a_token_of_one_record(served: Served) -> None:
    """It names the professional, the organisation, the software, the purpose and the record."""
    signed_in = int(time.time()) - 300
    token = served.read(await served.professional(auth_time=signed_in))
    record = served.records["anne"]
    assert (token.actor, token.sub, token.name, token.profession) == ("professional", DOCTOR, "Dr Alix Nom", "10")
    assert token.organisation is not None
    assert (token.organisation.id, token.organisation.name) == (CABINET, "Cabinet")
    assert (token.application.id, token.application.kind, token.purpose) == ("logiciel", "care-software", "TREAT")
    assert (token.record, token.auth_time) == (record, signed_in)
    assert token.patient == patient_digest(TEST, ANNE.partition("|")[2], record)
    assert 0 < token.exp - time.time() <= 300


async def test_no_token_holds_an_ins(served: Served) -> None:
    """A bearer can read a token's claims: the matricule is not among them."""
    for status, body in (
        await served.professional(),
        await served.post("/identity/demo/sign-in", json={"patient": ANNE}),
    ):
        assert status == 200
        claims = served.verifier.verify(body["access_token"]).model_dump_json()
        assert ANNE.partition("|")[2] not in claims


async def test_an_insurer_gets_a_token_in_its_own_name(served: Served) -> None:
    """Its purpose is COVERAGE: what it may do with it, nothing, is for the public rules to say."""
    said = await served.ask("assureur", grant_type=CLIENT_CREDENTIALS, patient=ANNE, purpose="COVERAGE")
    token = served.read(said)
    assert (token.actor, token.sub, token.purpose) == ("application", "assureur", "COVERAGE")
    assert (token.record, token.organisation, token.profession) == (served.records["anne"], None, None)


async def test_a_patient_signs_in_at_the_demo(served: Served) -> None:
    """The token is for the patient's own record, at the patient's request, through the demo's frontend."""
    token = served.read(await served.post("/identity/demo/sign-in", json={"patient": ANNE}))
    record = served.records["anne"]
    assert (token.actor, token.sub, token.record, token.purpose) == ("patient", record, record, "PATRQT")
    assert (token.application.id, token.name) == ("portail", "Anne NOM")
    for nobody in (BASILE, f"{TEST}|285054809599187"):
        said = await served.post("/identity/demo/sign-in", json={"patient": nobody})
        assert refused(said) == (400, "invalid_grant", "patient-unknown")
    assert (await served.post("/identity/demo/sign-in", json={"patient": 7}))[0] == 422


@pytest.mark.parametrize(
    ("client_id", "changed", "expected"),
    [
        ("logiciel", {"organisation": CENTRE}, ("unauthorized_client", "application-not-of-organisation")),
        ("autre", {"organisation": CABINET}, ("unauthorized_client", "application-not-of-organisation")),
        ("autre", {"organisation": CENTRE}, ("invalid_grant", "professional-not-in-organisation")),
        ("logiciel", {"sub": COLLEAGUE}, ("invalid_grant", "professional-not-in-organisation")),
        ("logiciel", {"sub": "801234567897"}, ("invalid_grant", "professional-unknown")),
        ("logiciel", {"sub": "logiciel"}, ("invalid_grant", "professional-unknown")),
        ("logiciel", {"purpose": "BTG"}, ("unauthorized_client", "purpose-not-allowed")),
        ("logiciel", {"purpose": "COVERAGE"}, ("unauthorized_client", "purpose-not-allowed")),
        ("assureur", {}, ("unauthorized_client", "application-not-of-organisation")),
        ("logiciel", {"patient": f"{TEST}|285054809599187"}, ("invalid_grant", "patient-unknown")),
        ("logiciel", {"patient": BASILE}, ("invalid_grant", "patient-unknown")),
        ("logiciel", {"patient": f"{TEST}|255081416802500"}, ("invalid_grant", "patient-malformed")),
        ("logiciel", {"patient": ANNE.replace(".10|", ".8|")}, ("invalid_grant", "patient-unknown")),
        ("logiciel", {"patient": {"$ne": ""}}, ("invalid_grant", "assertion-claims")),
        ("logiciel", {"without": "patient"}, ("invalid_grant", "assertion-claims")),
        ("logiciel", {"record": "public"}, ("invalid_grant", "assertion-claims")),
        ("logiciel", {"record": "a" * 26, "without": "patient"}, ("invalid_grant", "assertion-claims")),
        ("logiciel", {"record": None, "without": "patient"}, ("invalid_grant", "assertion-claims")),
        ("logiciel", {"record": "public", "without": "patient", "secret": True},
         ("unauthorized_client", "purpose-not-allowed")),
        ("logiciel", {"record": "public", "without": "patient", "emergency": {"code": "other", "text": "x" * 20}},
         ("invalid_grant", "emergency-unexpected")),
        ("logiciel", {"record": "public", "without": "patient", "organisation": CENTRE},
         ("unauthorized_client", "application-not-of-organisation")),
        ("logiciel", {"record": "public", "without": "patient", "sub": COLLEAGUE},
         ("invalid_grant", "professional-not-in-organisation")),
        ("logiciel", {"organisation": None}, ("invalid_grant", "assertion-claims")),
        ("logiciel", {"auth_time": None}, ("invalid_grant", "assertion-claims")),
        ("logiciel", {"secret": "yes"}, ("invalid_grant", "assertion-claims")),
        ("logiciel", {"secret": [True]}, ("invalid_grant", "assertion-claims")),
        ("logiciel", {"auth_time": 4_000_000_000}, ("invalid_grant", "assertion-claims")),
        ("logiciel", {"aud": "https://other.example/token"}, ("invalid_grant", "assertion-audience")),
        ("logiciel", {"exp": int(time.time()) - 1}, ("invalid_grant", "assertion-expired")),
        ("logiciel", {"exp": int(time.time()) + 4_000}, ("invalid_grant", "assertion-too-long")),
        ("logiciel", {"without": "jti"}, ("invalid_grant", "assertion-claims")),
        ("logiciel", {"key": "autre"}, ("invalid_grant", "assertion-foreign")),
        ("logiciel", {"iss": "autre", "key": "autre"}, ("invalid_grant", "assertion-foreign")),
    ],
)  # fmt: skip
async def test_a_grant_without_all_its_links_is_refused(
    served: Served, client_id: str, changed: dict[str, Any], expected: tuple[str, str]
) -> None:
    """Each missing link between application, organisation, professional, purpose and patient has its own name."""
    assert refused(await served.professional(client_id, **changed)) == (400, *expected)


@pytest.mark.parametrize(("who", "profession"), [(DOCTOR, "10"), (OFFICER, "dpo")])
async def test_a_token_of_every_record_names_nobody(served: Served, who: str, profession: str) -> None:
    """A professional's, an officer's too: no patient is in it, and a verifier takes it only where it is asked for."""
    status, body = await served.professional(sub=who, record="public", without="patient")
    assert status == 200
    with pytest.raises(TokenRefused):
        served.verifier.verify(body["access_token"])
    token = served.verifier.verify(body["access_token"], every_record=True)
    assert (token.record, token.patient, token.purpose, token.secret) == ("public", "", "TREAT", False)
    assert (token.actor, token.sub, token.profession) == ("professional", who, profession)
    assert token.organisation is not None
    assert token.organisation.id == CABINET


async def test_a_consultation_in_secret_is_asked_for(served: Served) -> None:
    """A minor may want it (L.1111-5): the professional's software says so, and the token does."""
    assert served.read(await served.professional(secret=True)).secret
    assert not served.read(await served.professional(secret=False)).secret
    assert not served.read(await served.professional()).secret


@pytest.mark.parametrize(
    ("changed", "slug"),
    [
        ({"key": "autre"}, "assertion-foreign"),
        ({"iss": "nobody", "sub": "nobody"}, "client-unknown"),
        ({"iss": "autre"}, "assertion-foreign"),
        ({"sub": "autre"}, "assertion-claims"),
        ({"sub": DOCTOR}, "assertion-claims"),
        ({"aud": f"{BASE}/identity"}, "assertion-audience"),
        ({"exp": int(time.time()) - 1}, "assertion-expired"),
        ({"exp": int(time.time()) + 4_000}, "assertion-too-long"),
        ({"without": "jti"}, "assertion-claims"),
    ],
)
async def test_a_client_that_proves_nothing_is_refused(served: Served, changed: dict[str, Any], slug: str) -> None:
    """A foreign key, nobody's name, another audience, an old or endless assertion: 401, whatever it asks for."""
    said = await served.ask(proof=served.signed("logiciel", **changed), grant_type=JWT_BEARER)
    assert refused(said) == (401, "invalid_client", slug)


async def test_an_unsigned_assertion_is_refused(served: Served) -> None:
    """`alg: none` proves nothing, for the client and for the grant."""
    head = b64(orjson.dumps({"alg": "none"}))
    for whole in (served.signed("logiciel"), served.grant()):
        unsigned = f"{head}.{whole.split('.')[1]}."
        assert refused(await served.ask(proof=unsigned, grant_type=JWT_BEARER))[0] == 401
        said = await served.post("/identity/token", data=form(served, assertion=unsigned))
        assert refused(said) == (400, "invalid_grant", "assertion-foreign")


def form(served: Served, **changed: str) -> dict[str, str]:
    """Return the whole form of a professional's grant."""
    return {
        "grant_type": JWT_BEARER,
        "assertion": served.grant(),
        "client_assertion_type": CLIENT_ASSERTION,
        "client_assertion": served.signed("logiciel"),
    } | changed


async def test_an_assertion_is_good_once(served: Served) -> None:
    """The same bytes again are refused, for the client and for the grant, even when both come at once."""
    client, grant = served.signed("logiciel"), served.grant()
    served.read(await served.post("/identity/token", data=form(served, client_assertion=client, assertion=grant)))
    again = await served.post("/identity/token", data=form(served, client_assertion=client))
    assert refused(again) == (401, "invalid_client", "assertion-replayed")
    again = await served.post("/identity/token", data=form(served, assertion=grant))
    assert refused(again) == (400, "invalid_grant", "assertion-replayed")
    same = served.grant()
    forms = [form(served, assertion=same) for _ in range(8)]
    said = await asyncio.gather(*(served.post("/identity/token", data=each) for each in forms))
    assert sorted(status for status, _ in said) == [200] + [400] * 7


async def test_a_refused_grant_is_used_up_too(served: Served) -> None:
    """What was refused for a missing link cannot be tried again once the link is there."""
    grant = served.grant(sub="801234567897")
    assert (
        refused(await served.post("/identity/token", data=form(served, assertion=grant)))[2] == "professional-unknown"
    )
    assert refused(await served.post("/identity/token", data=form(served, assertion=grant)))[2] == "assertion-replayed"


async def test_software_for_people_never_asks_alone(served: Served) -> None:
    """Care software without its professional, a frontend without its patient, an insurer for care: nothing."""
    for client_id, purpose, slug in (
        ("logiciel", "TREAT", "nobody-behind"),
        ("portail", "PATRQT", "nobody-behind"),
        ("assureur", "TREAT", "purpose-not-allowed"),
    ):
        said = await served.ask(client_id, grant_type=CLIENT_CREDENTIALS, patient=ANNE, purpose=purpose)
        assert refused(said) == (400, "unauthorized_client", slug)
    said = await served.ask("assureur", grant_type=CLIENT_CREDENTIALS, patient=BASILE, purpose="COVERAGE")
    assert refused(said) == (400, "invalid_grant", "patient-unknown")


async def test_an_establishment_s_software_alone_administers_stays(served: Served) -> None:
    """Registered for it, it gets a token of nobody, for its own structure; one that is not gets none."""
    asked = {"grant_type": CLIENT_CREDENTIALS, "patient": ANNE, "purpose": "PATADMIN"}
    token = served.read(await served.ask("autre", **asked))
    assert (token.actor, token.sub, token.purpose, token.profession) == ("application", "autre", "PATADMIN", None)
    assert token.application.kind == "care-software"
    assert token.organisation is not None
    assert token.organisation.id == CENTRE
    assert served.read(await served.ask("autre", **asked, organisation=CENTRE)).organisation == token.organisation
    said = await served.ask("autre", **asked, organisation=CABINET)
    assert refused(said) == (400, "unauthorized_client", "application-not-of-organisation")
    assert refused(await served.ask("logiciel", **asked)) == (400, "unauthorized_client", "purpose-not-allowed")


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ("grant_type=client_credentials", {}, (401, "invalid_client", "client-assertion-missing")),
        ("grant_type=a&grant_type=b", {}, (400, "invalid_request", "form")),
        ("grant_type", {}, (400, "invalid_request", "form")),
        ("a=" + "b" * 40_000, {}, (413, "invalid_request", "too-large")),
        ("{}", {"Content-Type": "application/json"}, (400, "invalid_request", "content-type")),
    ],
)
async def test_a_malformed_request_is_told_what_is_wrong(
    served: Served, body: str, headers: dict[str, str], expected: tuple[int, str, str]
) -> None:
    """No client, a parameter twice, no form, too much of it, JSON: an OAuth error, never a crash."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"} | headers
    assert refused(await served.post("/identity/token", data=body, headers=headers)) == expected


async def test_a_request_needs_a_known_grant(served: Served) -> None:
    """Other grants are unsupported; a missing parameter is named."""
    assert refused(await served.ask(grant_type="password"))[:2] == (400, "unsupported_grant_type")
    assert refused(await served.ask())[1:] == ("invalid_request", "parameter-missing")
    assert refused(await served.ask(grant_type=JWT_BEARER))[1:] == ("invalid_request", "parameter-missing")
    other = await served.post("/identity/token", data=form(served, client_id="autre"))
    assert refused(other)[1:] == ("invalid_client", "client-id-other")


async def test_keys_and_metadata_are_public(served: Served) -> None:
    """The JWKS verifies a token and holds no private half; the metadata names this endpoint."""
    async with served.http.get(f"{served.url}/identity/jwks") as response:
        jwks = await response.json()
    assert all("d" not in key for key in jwks["keys"])
    verifier = TokenVerifier()
    verifier.use(jwks)
    verifier.verify((await served.professional())[1]["access_token"])
    async with served.http.get(f"{served.url}/identity/.well-known/oauth-authorization-server") as response:
        said = await response.json()
    assert said["token_endpoint"] == f"{BASE}/identity/token"
    assert said["jwks_uri"] == f"{BASE}/identity/jwks"


async def test_without_the_demo_nobody_signs_in_there(
    engines: Engines, keys: Path, mongo_settings: MongoSettings
) -> None:
    """The route does not exist then, and says what any unknown address says."""
    async with serving(settings(mongo_settings, engines.kafka, keys, demo=False)) as given:
        status, body = await given.post("/identity/demo/sign-in", json={"patient": ANNE})
        assert (status, body["code"]) == (404, "not-found")
        given.read(await given.professional())


async def test_a_sign_in_needs_a_frontend_that_may(
    engines: Engines, keys: Path, mongo_settings: MongoSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application without that right signs nobody in, even at the demo."""
    monkeypatch.setenv("CARNET_IDENTITY_DEMO_FRONTEND", "assureur")
    async with serving(settings(mongo_settings, engines.kafka, keys)) as given:
        said = await given.post("/identity/demo/sign-in", json={"patient": ANNE})
        assert refused(said) == (400, "invalid_grant", "frontend-unknown")
