"""The demo's people: keys of their applications, registered with identity, told in `demo.json`. Nobody is real."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from chassis.sealing import b64
from deploy.local import tokens
from deploy.local.processes import DidNotStart
from deploy.local.stack import ROOT, Stack

PEOPLE = Path(__file__).with_name("people.json")
_OPENED_SECONDS = 30.0


async def seed(stack: Stack) -> dict[str, Any]:
    """Register the demo's people, wait until consent has opened their records, write `demo.json`; return its content.

    Idempotent: keys and records that stand are kept. Raise DidNotStart.
    """
    people = json.loads(PEOPLE.read_text(encoding="utf-8"))
    folder = stack.data / "demo"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for application in people["applications"]:
        key = _key(folder / f"{application['client_id']}.key")
        application["jwk"] = {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes_raw())}
    file = folder / "people.json"
    file.write_text(json.dumps(people, ensure_ascii=False, indent=1), encoding="utf-8")
    demo = _told(stack.base, people, await register(stack, file))
    await asyncio.gather(*(_opened(demo, name) for name in demo["patients"]))
    new = stack.data / "demo.json.new"
    new.write_text(json.dumps(demo, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    new.replace(stack.data / "demo.json")
    return demo


async def register(stack: Stack, file: Path) -> dict[str, str]:
    """Run `python -m services.identity register` as the stack's identity; return each reference's record id."""
    name = next(each.name for each in stack.processes.values() if each.service == "identity")
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("CARNET_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.identity", "register", "--records", str(file),
        cwd=ROOT, env=surroundings | stack.env_of(name), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    records, said = await process.communicate()
    if process.returncode != 0:
        raise DidNotStart(f"identity did not register the people of {file}:\n{said.decode(errors='replace')}")
    return dict(line.split() for line in records.decode().splitlines())


async def token(
    stack: Stack, who: str, record_of: str, *, purpose: str = "", emergency: dict[str, str] | None = None
) -> str:
    """Return a token for a demo person or application about a demo patient; raise DidNotStart, which says why not."""
    try:
        return await tokens.token(
            tokens.load_demo(stack.data), who, record_of, stack.data / "demo", purpose=purpose, emergency=emergency
        )
    except tokens.NoToken as error:
        raise DidNotStart(str(error)) from None


def _told(base: str, people: dict[str, Any], records: dict[str, str]) -> dict[str, Any]:
    """Return the content of `demo.json`: patients by reference, professionals by name, applications by client id."""
    names = {each["finess"]: each["name"] for each in people["organisations"]}
    software = {
        finess: each["client_id"]
        for each in people["applications"]
        if each["kind"] == "care-software"
        for finess in each["organisations"]
    }
    return {
        "base": base,
        "fhir": f"{base}/fhir",
        "patients": {
            each["reference"]: {
                "ins": each["ins"],
                "system": each["system"],
                "record": records[each["reference"]],
                "traits": each["traits"],
            }
            for each in people["persons"]
        },
        "professionals": {
            each["family_name"].lower(): {
                # An officer has no RPPS number, but an identifier of the structure.
                **({"rpps": each["rpps"]} if "rpps" in each else {}),
                "national_id": f"8{each['rpps']}" if "rpps" in each else f"3{each['internal_id']}",
                "name": " ".join(each[part] for part in ("title", "given_name", "family_name") if part in each),
                "profession": each["profession"],
                "organisation": each["organisations"][0],
                "organisation_name": names[each["organisations"][0]],
                "application": software[each["organisations"][0]],
            }
            for each in people["professionals"]
        },
        "applications": {
            each["client_id"]: {
                "client_id": each["client_id"],
                "name": each["name"],
                "kind": each["kind"],
                "purposes": each["purposes"],
                "organisations": each.get("organisations", []),
            }
            for each in people["applications"]
        },
    }


async def _opened(demo: dict[str, Any], name: str) -> None:
    """Wait until consent has opened this patient's record.

    It is asked to end a directive that is not there: the one request that needs the record and leaves no entry in it.
    """
    patient, why = demo["patients"][name], ""
    end = time.monotonic() + _OPENED_SECONDS
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while time.monotonic() < end:
            try:
                given = await tokens.for_patient(session, demo["base"], f"{patient['system']}|{patient['ins']}")
                headers = {"Authorization": f"Bearer {given}"}
                async with session.delete(f"{demo['base']}/consent/directives/none", headers=headers) as answer:
                    if answer.status == 404:  # noqa: PLR2004 - "no such directive": so there is a record
                        return
                    why = f"consent answers {answer.status}"
            except (aiohttp.ClientError, TimeoutError, tokens.NoToken) as error:
                why = str(error)
            await asyncio.sleep(0.1)
    raise DidNotStart(f"consent has not opened {name}'s record within {_OPENED_SECONDS:.0f} s ({why})")


def _key(path: Path) -> Ed25519PrivateKey:
    """Return the key of this file, made when absent (PEM, PKCS #8, 0600)."""
    if path.exists():
        key = load_pem_private_key(path.read_bytes(), None)
        if isinstance(key, Ed25519PrivateKey):
            return key
        raise DidNotStart(f"{path} holds no Ed25519 key: delete it, and run 'make up' again")
    key = Ed25519PrivateKey.generate()
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    new.replace(path)
    return key
