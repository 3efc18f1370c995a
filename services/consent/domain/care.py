"""Care relations that others than the patient declare (R.1111-46): what they rest on, how often, how long."""

from dataclasses import dataclass

from services.consent.domain.entry import MAIN

# The strongest first: a professional's access cites the first that holds.
EVIDENCE = ("patient", "treating-doctor", "code", "admission", "appointment", "declared")
# What a professional says of her agreement without her: so often, then she must have a part in it again.
OWN_WORDS = frozenset({"declared", "appointment"})
MOST_OWN_WORDS, OWN_WORDS_MS = 3, 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class Relation:
    """A care relation as it was declared. `id` is the cause of the entry, `subject` whom it serves.

    `who` declared it, for `organisation`, whose name was `place`.
    """

    id: str
    evidence: str
    subject: str
    since: int
    until: int
    entry: int = 0
    stream: str = MAIN
    who: str = ""
    organisation: str | None = None
    place: str | None = None

    def holds(self, now: int) -> bool:
        """Say whether it lasts at a time (ms)."""
        return now < self.until
