"""People whose every name is a canary, registered with identity, and the tokens that identity gives them."""

import asyncio
import random
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import orjson
from joserfc import jwt
from joserfc.jwk import OKPKey

from deploy.local.caller import Caller
from deploy.local.stack import ROOT, Stack
from services.identity.domain.identifiers import ins_key, luhn_holds
from tests.integration.privacy.canaries import person

SYSTEM_OID = "1.2.250.1.213.1.4.10"
SYSTEM = f"urn:oid:{SYSTEM_OID}"
_KEPT_SECONDS = 120.0  # of the 300 that a token is good for
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def new_ins() -> str:
    """Return a random INS whose key holds."""
    number = f"2{random.randint(10**11, 10**12 - 1)}"
    return f"{number}{ins_key(number):02}"


def _with_luhn(digits: str) -> str:
    return next(digits + str(key) for key in range(10) if luhn_holds(digits + str(key)))


@dataclass(frozen=True, slots=True)
class Doctor:
    """A professional, and the practice whose software acts for them."""

    name: str
    rpps: str
    finess: str
    software: str


MOREAU = Doctor("moreau", _with_luhn("8997386152"), _with_luhn("75938461"), "logiciel-moreau")
PETIT = Doctor("petit", _with_luhn("8997386153"), _with_luhn("75938462"), "logiciel-petit")


@dataclass
class People:
    """Camille, of the INS `ins`, her two doctors, an insurer; and every secret that passed between them."""

    session: aiohttp.ClientSession
    base: str
    ins: str = field(default_factory=new_ins)
    record: str = ""
    tokens: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)  # INS of other people, in requests that are refused
    _keys: dict[str, OKPKey] = field(default_factory=dict)
    _callers: dict[str, tuple[float, Caller]] = field(default_factory=dict)

    @property
    def patient(self) -> str:
        """Camille as FHIR's searches name her."""
        return f"{SYSTEM}|{self.ins}"

    async def register(self, stack: Stack, folder: Path) -> None:
        """Register everybody by identity's own command; the file stays outside the stack's folder."""
        file = folder / "people.json"
        file.write_bytes(orjson.dumps(self._file()))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.identity", "register", str(file), "--records", cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", **stack.env_of("identity-1")},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, complaints = await process.communicate()
        assert process.returncode == 0, complaints.decode()
        self.record = said.decode().split()[1]

    async def camille(self) -> Caller:
        """Return Camille at her frontend."""

        async def signed_in() -> str:
            return await self._answered("/identity/demo/sign-in", json={"patient": self.patient})

        return await self._caller("camille", signed_in)

    async def doctor(self, doctor: Doctor) -> Caller:
        """Return a doctor's software with a token for Camille's record."""

        async def granted() -> str:
            claims = {
                "sub": f"8{doctor.rpps}",
                "organisation": doctor.finess,
                "patient": self.patient,
                "auth_time": int(time.time()) - 1,
            }
            assertion = self.assertion(doctor.software, **claims)
            return await self._token(doctor.software, grant_type=_JWT_BEARER, assertion=assertion)

        return await self._caller(doctor.name, granted)

    async def insurer(self) -> Caller:
        """Return the insurer's application with a token of its own."""

        async def granted() -> str:
            more = {"patient": self.patient, "purpose": "COVERAGE"}
            return await self._token("assureur", grant_type="client_credentials", **more)

        return await self._caller("assureur", granted)

    def assertion(self, client: str, **claims: Any) -> str:
        """Return a JWT that an application signs for the token endpoint: a secret like a token."""
        said = {"iss": client, "aud": f"{self.base}/identity/token", "exp": int(time.time()) + 60, "jti": uuid4().hex}
        signed = jwt.encode({"alg": "Ed25519"}, said | claims, self._keys[client], algorithms=["Ed25519"])
        self.tokens.append(signed)
        return signed

    def secrets(self) -> dict[str, str]:
        """Return by name what nobody but identity may hold readable: numbers, and each part of each token."""
        parts = dict.fromkeys(part for token in self.tokens for part in token.split("."))
        digest = sha256(f"{self.patient}|{self.record}".encode()).digest()
        return {
            "ins": self.ins,
            "rpps-moreau": MOREAU.rpps,
            "rpps-petit": PETIT.rpps,
            "patient-digest": urlsafe_b64encode(digest).rstrip(b"=").decode(),
            **{f"ins-of-another-{number}": ins for number, ins in enumerate(self.others)},
            **{f"token-part-{number}": part for number, part in enumerate(parts)},
        }

    async def _token(self, client: str, **form: str) -> str:
        form |= {"client_assertion_type": _CLIENT_ASSERTION, "client_assertion": self.assertion(client, sub=client)}
        return await self._answered("/identity/token", data=form)

    async def _answered(self, path: str, **options: Any) -> str:
        async with self.session.post(self.base + path, **options) as answer:
            body = await answer.json(content_type=None)
            assert answer.status == 200, body
        token = str(body["access_token"])
        self.tokens.append(token)
        return token

    async def _caller(self, name: str, token: Callable[[], Awaitable[str]]) -> Caller:
        """Return who was there a moment ago, else somebody with a new token: each one more is one more to search."""
        at, known = self._callers.get(name, (0.0, None))
        if known is None or at < time.monotonic() - _KEPT_SECONDS:
            known = Caller(self.session, self.base, await token(), self.patient)
            self._callers[name] = (time.monotonic(), known)
        return known

    def _file(self) -> dict[str, Any]:
        def application(client: str, kind: str, *purposes: str, **more: Any) -> dict[str, Any]:
            self._keys[client] = OKPKey.generate_key("Ed25519")
            jwk = {name: self._keys[client].as_dict(private=False)[name] for name in ("kty", "crv", "x")}
            name = person(f" logiciel {client}")
            return {"client_id": client, "name": name, "kind": kind, "jwk": jwk, "purposes": list(purposes)} | more

        doctors = (MOREAU, PETIT)
        return {
            "organisations": [{"finess": each.finess, "name": person(f" cabinet {each.name}")} for each in doctors],
            "professionals": [
                {
                    "rpps": each.rpps,
                    "title": "Dr",
                    "given_name": person("given"),
                    "family_name": person(each.name),
                    "profession": "10",
                    "organisations": [each.finess],
                }
                for each in doctors
            ],
            "applications": [
                *(
                    application(each.software, "care-software", "TREAT", organisations=[each.finess])
                    for each in doctors
                ),
                application("portail", "patient-frontend", "PATRQT", signs_patients_in=True),
                application("assureur", "insurer", "COVERAGE"),
            ],
            "persons": [
                {
                    "reference": "camille",
                    "status": "qualified",
                    "system": SYSTEM,
                    "ins": self.ins,
                    "traits": {
                        "birth_name": person("-BIRTH").upper(),
                        "first_names": [person("first")],
                        "sex": "F",
                        "birth_date": "1979-03-28",
                        "birth_place": "51215",
                    },
                }
            ],
        }
