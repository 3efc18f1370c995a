"""Tokens as software gets them, by the real token endpoint: `python -m deploy.local.tokens moreau camille`."""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import aiohttp
import typer
from joserfc import jwt
from joserfc.jwk import OKPKey

DATA = Path(__file__).resolve().parents[2] / ".carnet"
_ASSERTION_SECONDS = 60
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_OK = 200
_EVERY_RECORD = "public"


class NoToken(RuntimeError):
    """No token could be had; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Software:
    """An application that signs with its own key; `base` is Carnet's public address."""

    session: aiohttp.ClientSession
    base: str
    client_id: str
    key: OKPKey

    @classmethod
    def load(cls, session: aiohttp.ClientSession, base: str, client_id: str, keys: Path) -> "Software":
        """Read the key in `<keys>/<client id>.key` (PEM); raise NoToken."""
        try:
            return cls(session, base, client_id, OKPKey.import_key((keys / f"{client_id}.key").read_bytes()))
        except OSError:
            raise NoToken(f"no key of the application {client_id} in {keys}: run 'make up'") from None

    def signed(self, subject: str, **claims: Any) -> str:
        """Return an assertion (RFC 7523) for the token endpoint, good once and for a minute."""
        whole = {
            "iss": self.client_id,
            "sub": subject,
            "aud": f"{self.base}/identity/token",
            "exp": int(time.time()) + _ASSERTION_SECONDS,
            "jti": uuid4().hex,
            **claims,
        }
        return jwt.encode({"alg": "Ed25519", "typ": "JWT"}, whole, self.key, algorithms=["Ed25519"])

    async def for_professional(
        self, national_id: str, organisation: str, patient: str | None, *, purpose: str = "TREAT",
        auth_time: int | None = None, emergency: dict[str, str] | None = None,
    ) -> str:  # fmt: skip
        """Return a token for a professional (national id) about a patient (`<system>|<INS>`); raise NoToken.

        Without a patient it is one of every record: of an officer's reviews, of a treating doctor's emergencies.
        `emergency` is {code, text}, exactly with the purposes BTG and ETREAT.
        """
        assertion = self.signed(
            national_id,
            organisation=organisation,
            purpose=purpose,
            auth_time=auth_time or int(time.time()),
            **({"patient": patient} if patient else {"record": _EVERY_RECORD}),
            **({"emergency": emergency} if emergency else {}),
        )
        return await self._asked({"grant_type": _JWT_BEARER, "assertion": assertion})

    async def for_itself(self, patient: str, purpose: str) -> str:
        """Return a token for the application alone about a patient (`<system>|<INS>`); raise NoToken."""
        return await self._asked({"grant_type": "client_credentials", "patient": patient, "purpose": purpose})

    async def _asked(self, form: dict[str, str]) -> str:
        authentication = {"client_assertion_type": _CLIENT_ASSERTION, "client_assertion": self.signed(self.client_id)}
        return await _posted(self.session, f"{self.base}/identity/token", data=form | authentication)


async def for_patient(session: aiohttp.ClientSession, base: str, patient: str, acting_for: str | None = None) -> str:
    """Return a token of the demo's sign-in for a patient (`<system>|<INS>`), or for one whom they represent.

    Raise NoToken.
    """
    body = {"patient": patient} | ({"acting_for": acting_for} if acting_for else {})
    return await _posted(session, f"{base}/identity/demo/sign-in", json=body)


async def token(
    demo: dict[str, Any], as_: str, for_: str, keys_dir: Path, *, purpose: str = "",
    emergency: dict[str, str] | None = None,
) -> str:  # fmt: skip
    """Return a token for a demo person or application about a demo patient; raise NoToken.

    `demo` is what `.carnet/demo.json` holds, `keys_dir` the folder of the applications' keys. `purpose`: the usual one
    when absent; `emergency`: the reason {code, text} of an emergency.
    """
    every = for_ == _EVERY_RECORD
    about = "" if every else _insured(demo, as_, for_)
    if every and as_ not in demo["professionals"]:
        raise NoToken(f"a token of every record ({_EVERY_RECORD}) is for professionals")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        if as_ in demo["patients"]:
            if purpose or emergency:
                raise NoToken(f"{as_} is a patient: PURPOSE, REASON and TEXT are for professionals")
            return await for_patient(session, demo["base"], _insured(demo, as_, as_), about if as_ != for_ else None)
        if (professional := demo["professionals"].get(as_)) is not None:
            software = Software.load(session, demo["base"], professional["application"], keys_dir)
            return await software.for_professional(
                professional["national_id"], professional["organisation"], about or None,
                purpose=purpose or "TREAT", emergency=emergency,
            )  # fmt: skip
        if (application := demo["applications"].get(as_)) is not None:
            software = Software.load(session, demo["base"], as_, keys_dir)
            return await software.for_itself(about, purpose or application["purposes"][0])
    known = ", ".join([*demo["patients"], *demo["professionals"], *demo["applications"]])
    raise NoToken(f"nobody in the demo is called {as_} (AS is one of {known})")


def _insured(demo: dict[str, Any], as_: str, for_: str) -> str:
    """Return a demo patient as `<system>|<INS>`; raise NoToken."""
    patient = demo["patients"].get(for_)
    if patient is None:
        known = ", ".join(demo["patients"])
        wanted = f"{as_} has no record: say whose, with FOR" if as_ == for_ else f"no demo patient is called {for_}"
        raise NoToken(f"{wanted} (FOR is one of {known})")
    return f"{patient['system']}|{patient['ins']}"


def load_demo(data: Path) -> dict[str, Any]:
    """Return what the seed left in a stack's folder; raise NoToken."""
    try:
        demo: dict[str, Any] = json.loads((data / "demo.json").read_text(encoding="utf-8"))
    except OSError:
        raise NoToken(f"no demo people in {data}: run 'make up'") from None
    return demo


async def _posted(session: aiohttp.ClientSession, url: str, **body: Any) -> str:
    try:
        async with session.post(url, **body) as response:
            said = await response.json(content_type=None)
            if response.status == _OK:
                return str(said["access_token"])
    except (aiohttp.ClientError, TimeoutError, ValueError):
        raise NoToken(f"no answer from {url}: is the stack up? (make status)") from None
    why = said.get("error_description") or said.get("detail") or ""
    raise NoToken(f"identity refused, {response.status} {said.get('error') or said.get('code')}: {why}")


def main(
    who: Annotated[str, typer.Argument(metavar="AS", help="A demo patient, professional or application.")],
    record_of: Annotated[
        str, typer.Argument(metavar="[FOR]", help="Whose record; oneself when absent; 'public' for every record.")
    ] = "",
    data: Annotated[Path, typer.Option(help="The stack's folder.")] = DATA,
) -> None:
    """Print an access token, alone, on standard output."""
    try:
        given = asyncio.run(token(load_demo(data), who, record_of or who, data / "demo"))
    except NoToken as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    sys.stdout.write(f"{given}\n")


if __name__ == "__main__":
    typer.run(main)
