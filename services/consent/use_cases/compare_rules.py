"""Compare two versions of the public rules that were in force, whenever that was."""

from services.consent.domain.difference import Difference, difference
from services.consent.in_force import Activations
from services.consent.ports import Bundles, UnknownRules


class CompareRules:
    """Tells what changed from one activated version to another."""

    def __init__(self, activations: Activations, bundles: Bundles) -> None:
        self._activations, self._bundles = activations, bundles

    async def __call__(self, before: str, after: str) -> Difference:
        """Return the difference; raise UnknownRules for what was never activated, RulesUnsettled for altered texts."""
        activated = {each.about for each in await self._activations.all()}
        for digest in (before, after):
            if digest not in activated:
                raise UnknownRules(digest)
        return difference((await self._bundles.kept(before)).bundle, (await self._bundles.kept(after)).bundle)
