"""Questions and answers that were sealed when their examples were written open today: the wire format holds."""

import json
from typing import Any

import orjson
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chassis.flows import DECISIONS, PROMISE, REQUESTS, header_info, request_digest
from chassis.sealing import Unsealable, b64, digest, unb64, unseal
from chassis.trust import verify
from contracts.consent import FlowAnswer, FlowDecided, FlowQuestion, FlowRequested
from contracts.registry import catalogue
from tests.contracts.sealed_examples import EXAMPLES, KEYS, QUESTIONS

NAMES = sorted(json.loads(KEYS.read_text(encoding="utf-8")))


def read(name: str) -> tuple[FlowRequested, FlowDecided, dict[str, Any]]:
    """Return a question, its answer and the keys that open them."""
    request = (EXAMPLES / FlowRequested.TYPE / "v1" / f"{name}.json").read_bytes()
    decision = (EXAMPLES / FlowDecided.TYPE / "v1" / f"{name}.json").read_bytes()
    keys = json.loads(KEYS.read_text(encoding="utf-8"))[name]
    return FlowRequested.model_validate_json(request), FlowDecided.model_validate_json(decision), keys


def key(text: str) -> X25519PrivateKey:
    """Return a private key as the key file holds it."""
    return X25519PrivateKey.from_private_bytes(unb64(text))


@pytest.mark.parametrize("name", NAMES)
async def test_the_question_opens_and_its_signature_holds(name: str) -> None:
    """Root -> role -> instance -> signature, and the sealed part under the digest of the clear header."""
    request, _, keys = read(name)
    root, then = Ed25519PublicKey.from_public_bytes(unb64(keys["root"])), keys["written_at"]
    role = verify(request.role_certificate, root, "carnet-role+jws", now=then)
    role_key = Ed25519PublicKey.from_public_bytes(unb64(role["key"]))
    instance = verify(request.certificate, role_key, "carnet-instance+jws", now=then)
    signer = Ed25519PublicKey.from_public_bytes(unb64(instance["signature_key"]))
    signer.verify(unb64(request.signature), request_digest(request))
    clear = unseal(
        key(keys["consent_sealing_key"]), unb64(request.sealed), header_info(request.header, request.certificate)
    )
    assert FlowQuestion.model_validate_json(clear) == QUESTIONS[name]


@pytest.mark.parametrize("name", NAMES)
async def test_the_answer_opens_and_its_promise_holds(name: str) -> None:
    """The answer is sealed under the digest of the whole request, and promised to its recipient."""
    request, decision, keys = read(name)
    bound, then = request_digest(request), keys["written_at"]
    clear = orjson.loads(unseal(key(keys["documents_sealing_key"]), unb64(decision.sealed), bound))
    root = Ed25519PublicKey.from_public_bytes(unb64(keys["root"]))
    role = verify(clear["role_certificate"], root, "carnet-role+jws", now=then)
    decider = verify(
        clear["certificate"], Ed25519PublicKey.from_public_bytes(unb64(role["key"])), "carnet-instance+jws", now=then
    )
    signer = Ed25519PublicKey.from_public_bytes(unb64(decider["signature_key"]))
    promise = verify(clear["promise"], signer, PROMISE, now=then)
    assert (role["role"], promise["request"], promise["answer"]) == (
        "consent", b64(bound), digest(clear["answer"].encode())
    )  # fmt: skip
    assert FlowAnswer.model_validate_json(clear["answer"]).outcome == "allowed"


@pytest.mark.parametrize("field", ["record", "reply_partition", "deadline_ms", "flow"])
async def test_a_changed_header_opens_nothing(field: str) -> None:
    """Each clear field is bound: to the seal, to the signature, and to the answer's seal."""
    request, decision, keys = read(NAMES[0])
    changed = {"record": "public", "reply_partition": 4, "deadline_ms": 1, "flow": "f" * 32}[field]
    header = request.header.model_copy(update={field: changed})
    forged = request.model_copy(update={"header": header})
    with pytest.raises(Unsealable):
        unseal(key(keys["consent_sealing_key"]), unb64(forged.sealed), header_info(header, request.certificate))
    with pytest.raises(Unsealable):
        unseal(key(keys["documents_sealing_key"]), unb64(decision.sealed), request_digest(forged))
    claims = orjson.loads(unb64(request.certificate.split(".")[1]))
    signer = Ed25519PublicKey.from_public_bytes(unb64(claims["signature_key"]))
    with pytest.raises(InvalidSignature):
        signer.verify(unb64(forged.signature), request_digest(forged))


async def test_questions_and_answers_have_topics_of_equal_width() -> None:
    """Each question may be answered on any partition that its instance holds."""
    assert catalogue()[REQUESTS].partitions == catalogue()[DECISIONS].partitions
