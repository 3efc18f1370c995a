"""Read the public rules: what each says, where it comes from, since when it stands."""

from dataclasses import dataclass

from services.consent.domain.delegation import Delegations, read_delegations
from services.consent.domain.habilitation import Matrix, read_table
from services.consent.domain.rules import Rule, rules_of
from services.consent.in_force import Activations
from services.consent.ports import Bundles, RulesUnsettled, UnknownRules

_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Activated:
    """A bundle and when it came into force (Unix time, ms)."""

    digest: str
    at: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A rule and since when it has stood as it is (Unix time, ms); None for what is built in."""

    rule: Rule
    since: int | None


@dataclass(frozen=True, slots=True)
class Published:
    """The rules in force, whoever co-signed them, and every activation, the newest first."""

    in_force: Activated
    signers: tuple[str, ...]
    rules: tuple[Standing, ...]
    matrix: Matrix
    delegations: Delegations
    activations: tuple[Activated, ...]


class ReadRules:
    """Tells the rules in force as the public record has them, whatever this process judges by."""

    def __init__(self, activations: Activations, bundles: Bundles) -> None:
        self._activations, self._bundles = activations, bundles
        self._known: dict[str, dict[str, Rule]] = {}

    async def __call__(self) -> Published:
        """Return them; raise RulesUnsettled where nothing was ever activated, or its texts are not what they were."""
        history = [(each.about, each.at) for each in reversed(await self._activations.all()) if each.about]
        if not history:
            raise RulesUnsettled("no rules were ever activated")
        try:
            kept = await self._bundles.kept(history[0][0])
        except UnknownRules as error:
            raise RulesUnsettled("the rules in force are not kept") from error
        since = await self._since(rules_of(kept.bundle), history)
        return Published(
            in_force=Activated(*history[0]),
            signers=kept.signers,
            rules=tuple(Standing(rule, since[rule.id]) for rule in rules_of(kept.bundle).values()),
            matrix=read_table(kept.bundle.table),
            delegations=read_delegations(kept.bundle.delegations),
            activations=tuple(Activated(*each) for each in history),
        )

    async def _since(self, rules: dict[str, Rule], history: list[tuple[str, int]]) -> dict[str, int | None]:
        """Return since which activation each rule has stood without a break, from the newest backwards."""
        since: dict[str, int | None] = dict.fromkeys(rules)
        standing = [rule for rule in rules.values() if rule.file]
        for digest, at in history:
            older = await self._rules(digest)
            standing = [rule for rule in standing if rule.id in older and older[rule.id].says_as(rule)]
            if not standing:
                break
            since |= dict.fromkeys((rule.id for rule in standing), at)
        return since

    async def _rules(self, digest: str) -> dict[str, Rule]:
        if digest not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            try:
                self._known[digest] = rules_of((await self._bundles.kept(digest)).bundle)
            except (UnknownRules, RulesUnsettled):
                return {}  # what was lost or altered of the past proves nothing
        return self._known[digest]
