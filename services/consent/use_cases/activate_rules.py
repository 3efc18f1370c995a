"""Activate rules: from the entry on no verdict is written under others. A second run finishes what a first began."""

from collections.abc import Sequence
from uuid import uuid4

from chassis import faults
from services.consent.domain.bundle import Bundle
from services.consent.domain.cosigning import Cosigning
from services.consent.domain.entry import MAIN, Entry
from services.consent.domain.rules import Rules
from services.consent.in_force import PUBLIC, Activations
from services.consent.ports import Bundles, Clock, Journal, Kept, RecordKeys, RulesUnsettled, UnknownRules

_MOST_TURNS = 20


class ActivateRules:
    """Puts a bundle in force, in three steps that each are durable before the next (see `in_force.py`)."""

    def __init__(
        self, journal: Journal, bundles: Bundles, keys: RecordKeys, cosigning: Cosigning, clock: Clock
    ) -> None:  # fmt: skip
        self._journal, self._bundles, self._keys = journal, bundles, keys
        self._cosigning, self._clock = cosigning, clock
        self._activations = Activations(journal, bundles)

    async def __call__(self, bundle: Bundle, signatures: Sequence[bytes] = ()) -> Entry:
        """Return the activation's entry, an older one where these rules are in force already.

        Raises RulesBroken, NotCosigned, or RulesUnsettled when others are being activated all the time.
        """
        digest = Rules(bundle).digest
        signers = self._cosigning.signers(digest, signatures)
        await self._keys.create(PUBLIC)
        for _ in range(_MOST_TURNS):
            head, newest = await self._activations.newest()
            if newest is not None and newest.about == digest:
                if await self._journal.demanded() == digest:
                    await self._mended(Kept(bundle, signers, newest))
                    return newest
                # Another activation was begun after this one, and is taken back.
                await self._journal.demand(digest)
                continue
            # Behind what was just read, and nothing else: what comes between takes its place.
            entry = _behind(head, digest, self._clock())
            await self._bundles.keep(Kept(bundle, signers, entry))
            faults.point("consent.activate.kept")
            await self._journal.demand(digest)
            faults.point("consent.activate.demanded")
            await self._journal.append([entry])
            faults.point("consent.activate.entered")
            # Whatever its fate: another decider may have finished it, another operator may have come between.
        raise RulesUnsettled("other rules are being activated all the time")

    async def _mended(self, true: Kept) -> None:
        """Keep the texts in force anew where what is kept of them was lost or altered."""
        try:
            await self._bundles.kept(true.bundle.digest)
        except (UnknownRules, RulesUnsettled):
            await self._bundles.keep(true)


def _behind(head: tuple[int, int], digest: str, now: int) -> Entry:
    version, n = head
    return Entry(
        record=PUBLIC,
        version=version + 1,
        cause=uuid4().hex,
        stream=MAIN,
        n=n + 1,
        at=now,
        policies=digest,
        leaf_class="other",
        kind="activated",
        about=digest,
    )
