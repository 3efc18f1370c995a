"""List documents (PDSm TD3.1, ITI-67): consent says which; nothing else is read, decrypted or counted."""

from collections.abc import Sequence

from contracts.consent import Action, FlowQuestion
from services.documents.answers import Approval, Refused, opened, refuse
from services.documents.fhir.resources import StoredDocument
from services.documents.ports import Consent, Shelf


class ListDocuments:
    """Returns what may be seen; to a professional, hidden, blocked and absent look the same: nothing."""

    def __init__(self, consent: Consent, shelf: Shelf) -> None:
        self._consent, self._shelf = consent, shelf

    async def __call__(self, record: str, token: str, documents: Sequence[str] = ()) -> list[StoredDocument]:
        """Return the documents (of those named, or all); raise Refused where the asker may know why, NotReady."""
        question = FlowQuestion(action=Action.LIST, token=token, documents=tuple(documents))
        approval = Approval()
        answer = await self._consent.ask(record, question)
        try:
            refuse(answer)
        except Refused as refused:
            if refused.rule is not None:  # the asker may know why: a public red line, or a patient's own record
                raise
            return []
        grants = {grant.document: grant for grant in answer.grants}
        if not grants:
            return []  # as soon as for one whom everything is hidden from
        # A version that is approved and not stored yet is left out.
        kept = await self._shelf.find(record, [(each.document, each.version) for each in grants.values()])
        approval.require_in_time()
        return [opened(each, grants[name]) for name, each in kept.items()]
