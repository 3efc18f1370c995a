"""From a verdict to the entries that tell it: one, and one more in each stream that somebody may not read yet."""

from dataclasses import replace
from hashlib import sha256

from services.consent.domain.entry import MAIN, Entry, leaf_class
from services.consent.domain.flow import Action, Flow, Motive
from services.consent.domain.judging import Verdict
from services.consent.domain.record import Record


def _part(flow: Flow, stream: str) -> str:
    """Return the cause of a part beside the first: it tells nothing of how many others there are."""
    return sha256(f"{flow.id}:{stream}".encode()).hexdigest()[:32]


def entries_of(record: Record, flow: Flow, now: int, verdict: Verdict, policies: str) -> list[Entry]:
    """Return the entries of one verdict in their order, the flow's id as the cause of the first.

    The number of an entry outside the main stream is 0: it is known where it is written.
    """
    if flow.action is not Action.ASK_AS_HEIR and (request := record.request_of(flow.actor, now)) is not None:
        flow = replace(flow, motive=Motive(request.motive))  # each look of an heir says what for
    secret = {each.document.id for each in verdict.reserved}
    told = replace(flow, documents=tuple(each for each in flow.documents if each not in secret)) if secret else flow
    said = [] if verdict.main is None else [(told, verdict.stream, verdict.main)]
    said += [
        (replace(flow, documents=(each.document.id,)), each.document.stream, each.outcome) for each in verdict.reserved
    ]
    return [
        Entry(
            record=record.id,
            version=record.version + 1 + number,
            cause=_part(flow, stream) if number else flow.id,
            stream=stream,
            n=record.n + 1 if stream == MAIN else 0,
            at=now,
            policies=policies,
            leaf_class=leaf_class(part, outcome),
            kind="decision",
            flow=part,
            outcome=outcome,
        )
        for number, (part, stream, outcome) in enumerate(said)
    ]
