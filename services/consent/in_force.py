"""Which rules are in force: what the public record says, and what this process knows of it.

An activation has three steps, each durable before the next: the bundle is kept, with the entry that is to activate it;
the journal takes in only entries of the new rules; the entry is inserted into the journal of the record `public`.
Between the second and the third nobody can write, so whoever meets that state finishes what was begun. The entry that
is kept was sealed by consent for one version of the public journal: it can neither be forged nor be used again.
"""

import asyncio
from collections import OrderedDict

from chassis import logs
from chassis.tokens import EVERY_RECORD
from services.consent.domain.entry import Entry
from services.consent.domain.flow import Action, Actor, Flow
from services.consent.domain.judging import judge
from services.consent.domain.record import Record
from services.consent.domain.rules import Rules, RulesBroken
from services.consent.ports import Bundles, Journal, RulesUnsettled, UnknownRules

PUBLIC = EVERY_RECORD  # the record of what concerns everybody: no flow is about it
_REMEMBERED = 32
_log = logs.get("rules")


class Activations:
    """What the public record says of rules."""

    def __init__(self, journal: Journal, bundles: Bundles) -> None:
        self._journal, self._bundles = journal, bundles

    async def all(self) -> list[Entry]:
        """Return every activation, the oldest first."""
        return (await self._read())[1]

    async def newest(self) -> tuple[tuple[int, int], Entry | None]:
        """Return the head of the public journal, (version, n), and the newest activation up to it."""
        head, found = await self._read()
        return head, found[-1] if found else None

    async def settled(self) -> Entry | None:
        """Return the activation in force, whose rules the journal takes entries of; None when there never was one.

        Finishes an activation whose process died; raises RulesUnsettled when it cannot.
        """
        (_, newest), demanded = await self.newest(), await self._journal.demanded()
        if newest is not None and newest.about is not None and demanded is None:
            # A database that was restored without what its collections demand.
            await self._journal.demand(newest.about)
            return newest
        if demanded is None or (newest is not None and newest.about == demanded):
            return newest
        try:
            kept = await self._bundles.kept(demanded)
        except UnknownRules as error:
            raise RulesUnsettled("the journal takes in entries of rules that nobody kept") from error
        await self._journal.append([kept.activation])
        _, newest = await self.newest()
        if newest is None or newest.about != demanded:
            raise RulesUnsettled("an activation is under way, and not ours to finish")
        return newest

    async def _read(self) -> tuple[tuple[int, int], list[Entry]]:
        head = await self._journal.head(PUBLIC)
        if head is None:
            return (0, 0), []
        return head, [each for each in await self._journal.changing(PUBLIC, 0, head[0]) if each.kind == "activated"]


class Archive:
    """Every bundle that was kept, as rules; the latest asked for are remembered."""

    def __init__(self, bundles: Bundles) -> None:
        self._bundles = bundles
        self._known: OrderedDict[str, Rules] = OrderedDict()

    async def rules(self, digest: str) -> Rules:
        """Return the rules of a digest; raise UnknownRules or RulesUnsettled."""
        if (known := self._known.get(digest)) is None:
            try:
                known = Rules((await self._bundles.kept(digest)).bundle)
            except RulesBroken as error:
                raise RulesUnsettled("these rules do not load here") from error
            self._known[digest] = known
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known


class RulesInForce:
    """The rules that this process judges by: those of the newest activation that it knows of.

    It need not look for a newer one. The journal takes no entry of rules that are in force no more, and so tells.
    """

    def __init__(self, activations: Activations, archive: Archive) -> None:
        self._activations, self._archive = activations, archive
        self._rules: Rules | None = None
        self._known: dict[str, Rules] = {}  # as many as were activated while this process ran
        self._renewing: asyncio.Task[None] | None = None

    @property
    def rules(self) -> Rules:
        """What to judge by now."""
        if self._rules is None:
            raise RulesUnsettled("no rules were loaded")
        return self._rules

    async def load(self) -> None:
        """Load what is in force; raise RulesUnsettled."""
        newest = await self._activations.settled()
        if newest is None or newest.about is None:
            raise RulesUnsettled("no rules were ever activated")
        if self._rules is not None and self._rules.digest == newest.about:
            return
        try:
            rules = await self._archive.rules(newest.about)
        except UnknownRules as error:
            raise RulesUnsettled("the rules in force are not kept") from error
        if not _understood(rules):
            _log.error("the rules in force are not understood here", version=rules.digest)
            raise RulesUnsettled("they judge by other facts than this process knows")
        self._rules = self._known[rules.digest] = rules
        _log.info("rules in force", version=rules.digest)

    async def renew(self, than: Rules) -> None:
        """Know what is in force, where it is not what was taken; many who ask at once look once."""
        if self._rules is not than:
            return
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self.load())
        # Whoever gives up alone must not stop the others.
        await asyncio.shield(self._renewing)

    def judged_by(self, digest: str) -> Rules:
        """Return the rules of a digest under which this process judged; those in force where it knows none."""
        return self._known.get(digest, self.rules)


def _understood(rules: Rules) -> bool:
    """Say whether these rules and this process's code speak of the same facts."""
    actor = Actor("patient", PUBLIC, "", "", "", "")
    asked = Flow(id="", digest="", record=PUBLIC, action=Action.LIST, purpose="", actor=actor)
    return not judge(Record(PUBLIC), asked, 0, rules).outcome.errors
