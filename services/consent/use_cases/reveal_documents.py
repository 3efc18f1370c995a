"""Reveal documents that nobody announced for a month (R.1111-53): an entry of the main stream opens each one's own."""

from services.consent.domain.entry import MAIN, Entry
from services.consent.ledger import Ledger
from services.consent.ports import Clock, DocumentKeys, Fate, InForce, Journal

_BATCH = 100


class RevealDocuments:
    """Writes what the clock has already decided: the rules look at each decision, this tells."""

    def __init__(self, ledger: Ledger, journal: Journal, keys: DocumentKeys, in_force: InForce, clock: Clock) -> None:
        self._ledger, self._journal, self._keys = ledger, journal, keys
        self._in_force, self._clock = in_force, clock

    async def __call__(self) -> int:
        """Reveal one batch; return how many were due."""
        now = self._clock()
        due = await self._keys.unannounced_since(now, _BATCH)
        for record, document in due:
            state = await self._ledger.folded(record)
            if state is not None and document in state.documents and not state.documents[document].announced:
                if state.documents[document].unannounced(now):
                    continue  # the row's clock was another's: later
                rules = self._in_force.rules
                entry = Entry(
                    record=record,
                    version=state.version + 1,
                    cause=f"revealed-{document}",
                    stream=MAIN,
                    n=state.n + 1,
                    at=now,
                    policies=rules.digest,
                    leaf_class="other",
                    kind="revealed",
                    about=document,
                )
                fate = (await self._journal.append([entry]))[0]
                if fate is Fate.STANDS:
                    self._ledger.appended(entry)
                elif fate is Fate.OUTDATED:
                    await self._in_force.renew(rules)
                    continue
                elif await self._journal.by_cause(record, entry.cause) is None:
                    continue  # somebody was faster at this record: the next round
            await self._keys.told(record, document)
        return len(due)
