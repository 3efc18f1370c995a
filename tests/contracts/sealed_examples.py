"""`python -m tests.contracts.sealed_examples NAME`: a real question and answer, real statements; keys of their own.

The keys stand beside this file, so the test opens the examples as consent and documents would: what was sealed when
an example was written must open today. They sign nothing else. Run it again only into a new file name.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from chassis.flows import PROMISE, header_info, request_digest
from chassis.sealing import b64, digest, seal_to, unb64
from chassis.trust import AnnouncedKeys, Authority, InstanceIdentity, Trust, sign
from contracts.consent import (
    Action,
    DepositAttributes,
    FlowAnswer,
    FlowDecided,
    FlowHeader,
    FlowQuestion,
    FlowRequested,
    Grant,
    LabelAmendment,
    SealingKeysAnnounced,
)
from contracts.fact import Fact
from contracts.identity import TokenKeysAnnounced

KEYS = Path(__file__).parent / "example_keys.json"
EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples"
RECORD, DOCUMENT = "carnetexamplerecordaaaa234", "carnetexampledocumentaa567"
FLOW = "00000000000000000000000000c0ffee"
# What each example asks, by its name.
QUESTIONS = {
    "deposit": FlowQuestion(
        action=Action.DEPOSIT,
        token="a.synthetic.token",
        deposit=DepositAttributes(
            master_identifier="urn:oid:1.2.3.4.5",
            content_digest=digest(b"a synthetic report"),
            type_code="11502-2",
            type_system="urn:oid:2.16.840.1.113883.6.1",
        ),
    ),
    "amend": FlowQuestion(
        action=Action.AMEND,
        token="a.synthetic.token",
        documents=(DOCUMENT,),
        amendment=LabelAmendment(adds=("MASQUE_PS",), removes=("INVISIBLE_PATIENT",)),
    ),
}


def write(name: str) -> None:
    """Write one example of each sealed or signed fact, and the keys that open them."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        authority = Authority(home / "authority")
        authority.instance(
            role="documents", instance="documents-example", actions=["deposit", "read", "amend"],
            reply_partitions=[3], out=home / "documents.json",
        )  # fmt: skip
        authority.instance(
            role="consent", instance="consent-example", actions=[], reply_partitions=[], out=home / "consent.json"
        )
        authority.token_keys(out=home / "tokens.json")
        authority.consent_keys(out=home / "sealing.json")
        asker, decider = (InstanceIdentity.load(home / f"{role}.json") for role in ("documents", "consent"))
        tokens, sealing = (AnnouncedKeys.load(home / f"{use}.json") for use in ("tokens", "sealing"))
        trust = Trust(authority.root_public)
        request = _question(QUESTIONS[name], asker, trust, sealing)
        answer = _answer(request, asker, decider, trust)
        keys = {
            "root": authority.root_public,
            "consent_sealing_key": b64(sealing.private[0][1]),
            "documents_sealing_key": b64(asker.sealing_key.private_bytes_raw()),
            "written_at": int(time.time()),
        }
    facts: list[Fact] = [
        request,
        answer,
        TokenKeysAnnounced(role_certificate=tokens.role_certificate, statement=tokens.statement),
        SealingKeysAnnounced(role_certificate=sealing.role_certificate, statement=sealing.statement),
    ]
    for fact in facts:
        _save(EXAMPLES / fact.TYPE / "v1" / f"{name}.json", fact.model_dump(mode="json", exclude_none=True))
    known = json.loads(KEYS.read_text(encoding="utf-8")) if KEYS.exists() else {}
    _save(KEYS, known | {name: keys})


def _question(question: FlowQuestion, asker: InstanceIdentity, trust: Trust, sealing: AnnouncedKeys) -> FlowRequested:
    consent = trust.statement(sealing.role_certificate, sealing.statement, "consent", "sealing")
    header = FlowHeader(flow=FLOW, record=RECORD, reply_partition=3, deadline_ms=int(time.time() * 1000) + 1_500)
    clear = question.model_dump_json(exclude_none=True).encode()
    unsigned = FlowRequested(
        header=header,
        role_certificate=asker.role_certificate,
        certificate=asker.certificate,
        sealed=b64(seal_to(_public(consent.keys[0]), clear, header_info(header, asker.certificate))),
        signature="",
    )
    return unsigned.model_copy(update={"signature": b64(asker.signing_key.sign(request_digest(unsigned)))})


def _answer(
    request: FlowRequested, asker: InstanceIdentity, decider: InstanceIdentity, trust: Trust
) -> FlowDecided:  # fmt: skip
    recipient, bound = trust.certificate(asker.role_certificate, asker.certificate), request_digest(request)
    grant = Grant(document=DOCUMENT, version=1, visibility=(), metadata_key=b64(bytes(32)), content_key=b64(bytes(32)))
    answer = FlowAnswer(outcome="allowed", grants=(grant,)).model_dump_json(exclude_none=True)
    promise = {
        "request": b64(bound),
        "recipient": recipient.instance,
        "answer": digest(answer.encode()),
        "receipt": {"version": 1},
        "exp": request.header.deadline_ms / 1000 + 0.5,
    }
    sealed = {
        "answer": answer,
        "promise": sign(promise, decider.signing_key, PROMISE),
        "role_certificate": decider.role_certificate,
        "certificate": decider.certificate,
    }
    return FlowDecided(
        flow=FLOW,
        record=RECORD,
        decider="consent-example",
        sealed=b64(seal_to(recipient.sealing_key, json.dumps(sealed).encode(), bound)),
    )


def _public(jwk: dict[str, Any]) -> X25519PublicKey:
    return X25519PublicKey.from_public_bytes(unb64(jwk["x"]))


def _save(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1])
