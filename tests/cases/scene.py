"""A line of the table before the rules: the record that its situation tells, and the question that it puts."""

from dataclasses import dataclass, replace
from typing import Final

from services.consent.domain.codes import code_digest
from services.consent.domain.flow import (
    Action,
    Actor,
    Amendment,
    Care,
    Change,
    Deposit,
    Evidence,
    Flow,
    Motive,
    Reason,
)  # fmt: skip
from services.consent.domain.judging import judge
from services.consent.domain.record import Record
from services.consent.domain.rules import Rules
from tests.cases.meaning import (
    IT,
    Amends,
    CodeWord,
    Declares,
    Discharges,
    Ends,
    Gives,
    Paper,
    Passes,
    Pleads,
    Represented,
    Says,
    Step,
    Want,
)
from tests.cases.table import Line
from tests.cases.vocabulary import DELIVERY as NOT_FOR_PODIATRISTS
from tests.cases.vocabulary import INVENTED_CODE, NOT_FOR_DENTISTS, RESIDENCE, UNKNOWN_TYPE
from tests.unit.consent.people import ABSENT, OTHER_RECORD, PARENT, PERSON, RECORD, Book, flow, holder, paper

CODE: Final = "ACD-EFG-HJK"
_CODES: Final[dict[CodeWord, str]] = {
    "hers": code_digest(RECORD, CODE),
    "invented": code_digest(RECORD, INVENTED_CODE),
    "of-another-record": code_digest(OTHER_RECORD, CODE),
}
WORDS: Final = "Je suis sa fille et je veux comprendre."
_NEW_ID: Final = "n" * 26
# The known cells of the matrix: what a profession does not read. Whoever is not named reads nothing.
_NOT_READ: Final = {"10": {RESIDENCE}, "40": {NOT_FOR_DENTISTS}, "60": set(), "80": {NOT_FOR_PODIATRISTS}}


class WithMatrix(Rules):
    """The rules over a matrix that the lines can rely on, whatever table the bundle holds."""

    def habilitated(self, profession: str, type_code: str) -> bool:
        """Say whether a profession reads a type."""
        return profession in _NOT_READ and type_code not in {UNKNOWN_TYPE, *_NOT_READ[profession]}


RULES: Final = WithMatrix()
BEHIND_JUDGING: Final = frozenset({"not-announced-yet", "secret-from-representatives", "hidden-from-heirs"})


@dataclass(frozen=True, slots=True)
class Scene:
    """What a line asks, of which record, when: any set of rules may be asked."""

    record: Record
    asked: Flow
    now: int

    def judged(self, rules: Rules) -> tuple[str, str]:
        """Return the verdict and the rule."""
        outcome = judge(self.record, self.asked, self.now, rules, _NEW_ID).outcome
        return outcome.verdict, outcome.rule


def played(line: Line) -> Scene:
    """Live through a line's situation; return what is asked at its end."""
    told = _Told(line)
    for step in line.steps:
        told.live(step)
    return Scene(told.book.record, told.question(line), told.book.now)


class _Told:
    """A record's life as a line tells it."""

    def __init__(self, line: Line) -> None:
        self.book = Book(RULES)
        self._held = [self.book.deposit(_deposit(each, at), each.by) for at, each in enumerate(line.papers.held)]
        self._begun: dict[str, list[str]] = {}
        self._stay = "no stay"

    def live(self, step: Step) -> None:  # noqa: C901 - a table: one kind of step, one act
        """Write a step into the record's journal; a step that is not decided as it says is a mistake of the line."""
        match step:
            case Passes(ms):
                self.book.now += ms
            case Represented(role, scopes, minor, deceased):
                held = [holder(PARENT, role, scopes)] if role else []
                self.book.represent(*held, minor=minor, deceased=deceased)
            case Pleads(motive):
                self._must(step, flow(PARENT, Action.ASK_AS_HEIR, motive=Motive(motive, WORDS)), counts=True)
            case Says(kind, subject, lasts, members):
                self._begin(
                    Change(kind, self._held[0] if subject == IT else subject, self._until(lasts), None, members)
                )
            case Gives(lasts):
                self._begin(Change("code", until=self._until(lasts), members=(_CODES["hers"],)))
            case Ends(kind):
                self.book.say("end", ends=self._begun[kind].pop())
            case Declares(who, evidence, lasts, counts, times):
                for _ in range(times):
                    care = self._care(evidence, lasts, "hers" if evidence == "code" else None)
                    self._must(step, flow(who, Action.DECLARE_CARE, care=care, purpose=_aim(who)), counts)
            case Discharges(who, counts):
                self._must(step, flow(who, Action.END_CARE, change=self._leaving(), purpose=_aim(who)), counts)
            case Amends(who, adds, removes):
                asked = flow(who, Action.AMEND, self._held[0], amendment=Amendment(adds, removes))
                self._must(step, asked, counts=True)

    def question(self, line: Line) -> Flow:  # noqa: PLR0911 - a table: one wish, one question
        """Return what the line asks at the end."""
        want, papers, purpose = line.want, line.papers, line.purpose
        documents = {"one": self._held[:1], "absent": [ABSENT], "whole": []}[papers.asked]
        signed_in = self.book.now // 1000 - purpose.signed_in if purpose.signed_in is not None else 0
        asked = flow(
            line.actor, want.action, *documents, purpose=purpose.code, topic=purpose.topic, auth_time=signed_in,
            secret=purpose.secret, stale=purpose.stale,
            reason=Reason("vital", "La personne est inconsciente.") if purpose.reasoned else None,
        )  # fmt: skip
        if want.action is Action.DEPOSIT:
            # What is new has a number that nothing has; what comes again has the first one's.
            number = len(papers.held) if papers.deposit == "new" else 0
            content = "other" if papers.deposit == "other" else "content"
            label = (papers.label,) if papers.label else ()
            return replace(asked, deposit=paper(f"report {number}", content=content, visibility=label))
        if want.action is Action.CHANGE_DIRECTIVES:
            return replace(asked, documents=(), change=self._change(want))
        if want.action is Action.END_CARE:
            return replace(asked, change=self._leaving())
        if want.action is Action.AMEND:
            return replace(asked, amendment=Amendment(want.adds, want.removes))
        if want.motive:
            return replace(asked, motive=Motive(want.motive, WORDS if want.words else None))
        if want.evidence:
            return replace(asked, care=self._care(want.evidence, want.lasts, want.code))
        return asked

    def _change(self, want: Want) -> Change:
        if want.shows:
            return Change("show-to-representatives", self._held[0])
        if want.heirs == "oppose":
            return Change("oppose-heirs")
        if want.heirs == "let":
            return Change("end", ends=self._begun["oppose-heirs"][-1])
        return Change("authorise", PERSON)

    def _must(self, step: Step, asked: Flow, counts: bool) -> None:
        verdict = self.book.ask(asked).outcome.verdict
        if (verdict == "allowed") is not counts:
            raise ValueError(f"{step} was {verdict}")
        if asked.care and asked.care.evidence == "admission" and counts:
            self._stay = asked.id

    def _leaving(self) -> Change:
        return Change("end", ends=self._stay)

    def _begin(self, change: Change) -> None:
        begun = self.book.say(change.kind, change.subject, until=change.until, members=change.members)
        self._begun.setdefault(change.kind, []).append(begun)

    def _until(self, lasts: int | None) -> int | None:
        return None if lasts is None else self.book.now + lasts

    def _care(self, evidence: Evidence, lasts: int, code: CodeWord | None) -> Care:
        return Care(evidence, self.book.now + lasts, _CODES[code] if code else None)


def _aim(who: Actor) -> str:
    """Return what a structure's software alone, or a professional, asks for."""
    return "PATADMIN" if who.kind == "application" else "TREAT"


def _deposit(held: Paper, number: int) -> Deposit:
    visibility = (held.label,) if held.label else ()
    return replace(paper(f"report {number}", visibility=visibility, code=held.type_code), episode=held.episode)
