"""Change a document's labels (PDSm TD3.3a, b): consent judges and keeps them; what was deposited stays as it is."""

from contracts.consent import Action, FlowQuestion, LabelAmendment
from services.documents.answers import Approval, Refused, opened, refuse
from services.documents.fhir.patches import LabelPatch
from services.documents.fhir.resources import StoredDocument
from services.documents.ports import Consent, Shelf


class ChangeLabels:
    """Asks for other labels; to a professional, every refusal looks like a document that is not there."""

    def __init__(self, consent: Consent, shelf: Shelf) -> None:
        self._consent, self._shelf = consent, shelf

    async def __call__(self, record: str, token: str, document: str, patch: LabelPatch) -> StoredDocument | None:
        """Return the document under its labels of now; None where the asker may change nothing, or there is nothing.

        Raise Refused where the asker may know why, NotReady.
        """
        wanted = LabelAmendment.model_validate({"adds": patch.adds, "removes": patch.removes})
        question = FlowQuestion(action=Action.AMEND, token=token, documents=(document,), amendment=wanted)
        approval = Approval()
        answer = await self._consent.ask(record, question)
        try:
            refuse(answer)
        except Refused as refused:
            if refused.rule is not None:  # a public red line, or a patient and who acts for her
                raise
            return None
        grant = next((each for each in answer.grants if each.document == document), None)
        if grant is None:
            return None
        kept = (await self._shelf.find(record, [(document, grant.version)])).get(document)
        approval.require_in_time()
        return opened(kept, grant) if kept else None
