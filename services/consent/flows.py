"""From a proved question to a flow, and from a decision to the answer that its asker may read."""

import time

from opentelemetry.trace import SpanKind

from chassis import telemetry
from chassis.flows import DROPPED
from chassis.hearing import Heard, Judged
from chassis.sealing import b64, canonical, derive, digest
from chassis.tokens import AccessToken, TokenRefused, TokenVerifier
from contracts.consent import FlowAnswer, FlowQuestion, Grant
from services.consent.decisions import tell
from services.consent.domain.flow import Action, Actor, Amendment, Deposit, Flow, Reason
from services.consent.domain.rules import NOTHING_THERE
from services.consent.ports import Held, InForce, Projection
from services.consent.use_cases.decide import Decide, Decided

# What a service may ask for in its own name, and under which purpose the patient sees it.
_OWN_FLOWS = {"notifications": (Action.NOTIFY, "NOTIFY", "Avis de Carnet")}


# What is not there needs no reason; to a representative, what the person keeps from them is not even there.
_TOLD = frozenset({"patient", "representative"})


class Judge:
    """Judges what deciders hear: the caller's own token is verified here again, whatever the asker says of it."""

    def __init__(self, decide: Decide, verifier: TokenVerifier, in_force: InForce, projection: Projection) -> None:
        self._decide, self._verifier, self._in_force, self._projection = decide, verifier, in_force, projection

    async def __call__(self, heard: Heard) -> Judged | None:
        """Return the answer; None for a question that is dropped."""
        flow = self._flow(heard)
        if flow is None:
            return None
        with telemetry.span(
            f"decide {flow.action}",
            SpanKind.CONSUMER,
            parent=heard.traceparent,
            attributes={"carnet.flow": heard.flow},
        ) as span:
            started = time.perf_counter()
            decided = await self._decide(flow)
            if decided is None:
                DROPPED.labels("late-or-changed").inc()
                return None
            answer = self._answer(decided)
            span.set_attribute("carnet.outcome", answer.outcome)
            tell(decided, started)
        entry = decided.entry
        return Judged(answer, {"entry": digest(canonical(entry.clear)), "at": entry.at} if entry else {})

    def _flow(self, heard: Heard) -> Flow | None:
        try:
            token = self._token(heard)
            actor, purpose = self._itself(heard) if token is None else (actor_of(token), token.purpose)
        except TokenRefused as refused:
            DROPPED.labels(refused.slug).inc()
            return None
        question = heard.question
        action = Action(question.action.value)
        if not _whole(action, question):
            DROPPED.labels("malformed").inc()
            return None
        deposit = Deposit(**question.deposit.model_dump()) if question.deposit else None
        return Flow(
            id=heard.flow,
            digest=heard.digest,
            record=heard.record,
            action=action,
            purpose=purpose,
            actor=actor,
            documents=question.documents,
            deposit=deposit,
            amendment=Amendment(**question.amendment.model_dump()) if question.amendment else None,
            reason=Reason(token.emergency.code, token.emergency.text) if token and token.emergency else None,
            auth_time=token.auth_time if token else 0,
            secret=token.secret if token else False,
            # Nobody else's flow hangs on who represents whom.
            stale=actor.kind == "representative" and self._projection.stale(heard.record),
            because=question.cause,
            deadline_ms=heard.deadline_ms,
        )

    def _token(self, heard: Heard) -> AccessToken | None:
        """Return the caller's token, believed; None where the service asks in its own name."""
        if heard.question.token is None:
            return None
        read = self._verifier.verify(heard.question.token)
        if read.record != heard.record:
            raise TokenRefused("token-other-record")
        return read

    @staticmethod
    def _itself(heard: Heard) -> tuple[Actor, str]:
        """Return the service that asks, and its purpose, where it may ask in its own name."""
        role = heard.certificate.role
        action, purpose, name = _OWN_FLOWS.get(role, (None, "", ""))
        if action != Action(heard.question.action.value):
            raise TokenRefused("token-missing")
        return Actor("service", role, name, role, name, "service"), purpose

    def _answer(self, decided: Decided) -> FlowAnswer:
        """Say why to the patient and who acts for her; others learn a reason only where it is a public red line."""
        outcome, flow = decided.outcome, decided.flow
        if outcome is None or decided.entry is None:
            return FlowAnswer(outcome="stale")
        hers = outcome.verdict == "refused" and flow.actor.kind in _TOLD and outcome.rule != NOTHING_THERE
        if outcome.verdict == "red-line" or hers:
            rule = self._in_force.judged_by(decided.entry.policies)[outcome.rule]
            return FlowAnswer(outcome=outcome.verdict, rule=rule.id, law=rule.law, sentence=rule.sentence)
        if outcome.verdict != "allowed":
            return FlowAnswer(outcome=outcome.verdict)
        live = flow.action is Action.DEPOSIT and any(each.state == "live" for each in decided.released)
        grants = tuple(_grant(each, flow, decided.entry.at if decided.entry else 0) for each in decided.released)
        return FlowAnswer(outcome="allowed", grants=grants, already_stored=live)


def _whole(action: Action, question: FlowQuestion) -> bool:
    """Say whether a question names what its action is about; consent's own interface is not asked for from outside."""
    if action is Action.DEPOSIT:
        return question.deposit is not None and not question.documents and question.amendment is None
    if action is Action.AMEND:
        wanted = question.amendment
        plain = wanted is not None and wanted.adds + wanted.removes and set(wanted.adds).isdisjoint(wanted.removes)
        return bool(plain) and len(question.documents) == 1 and question.deposit is None
    named = bool(question.documents) if action in {Action.READ, Action.NOTIFY} else action is Action.LIST
    return named and question.deposit is None and question.amendment is None


def actor_of(token: AccessToken) -> Actor:
    """Return who a token speaks for."""
    organisation, representative = token.organisation, token.representative
    return Actor(
        kind=token.actor,
        id=representative.holder if representative else token.sub,
        name=token.name,
        application=token.application.id,
        application_name=token.application.name,
        application_kind=token.application.kind,
        profession=token.profession,
        organisation=organisation.id if organisation else None,
        organisation_name=organisation.name if organisation else None,
    )


def _grant(held: Held, flow: Flow, now: int) -> Grant:
    content = flow.action is Action.READ or (flow.action is Action.DEPOSIT and held.state == "pending")
    return Grant(
        document=held.document.id,
        version=held.document.version,
        visibility=held.document.visibility_at(now),  # type: ignore[arg-type]
        metadata_key=b64(derive(held.key, "metadata")),
        content_key=b64(derive(held.key, "content")) if content else None,
    )
