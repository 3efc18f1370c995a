"""What the patient said: a directive, and the presets that put several in the place of others."""

from dataclasses import dataclass, replace

from services.consent.domain.entry import MAIN

# What each preset puts in the place of the general directives; whatever names somebody or something stays.
PRESETS: dict[str, tuple[tuple[str, str | None], ...]] = {
    "legal": (),
    "careful": (("ask-me", None), ("close-emergency", "others"), ("oppose-prevention", None)),
    "closed": (
        ("close", None), ("ask-me", None), ("close-emergency", "others"), ("close-emergency", "samu"),
        ("oppose-prevention", None), ("oppose-export", None),
    ),
}  # fmt: skip
_GENERAL = {"close", "ask-me", "open-hidden", "close-emergency", "oppose-prevention", "oppose-export"}


@dataclass(frozen=True, slots=True)
class Directive:
    """What the patient said and has not taken back. `id` is the cause of the entry that said it.

    A preset's directives have ids of their own: the entry's cause, a dot and a number.
    """

    id: str
    kind: str
    subject: str | None
    since: int
    until: int | None
    members: tuple[str, ...] = ()
    entry: int = 0  # the version that said it
    stream: str = MAIN  # of the entry that said it
    hers: bool = True  # she said it herself

    def holds(self, now: int) -> bool:
        """Say whether it is in force at a time (ms)."""
        return self.until is None or now < self.until

    @property
    def general(self) -> bool:
        """Whether a preset takes its place; one about a topic does not: it names something."""
        return self.kind in _GENERAL and not (self.subject or "").startswith("topic:")

    def without(self, member: str | None) -> "Directive":
        """Return it with one member less, where it has such a member."""
        return replace(self, members=tuple(each for each in self.members if each != member))
