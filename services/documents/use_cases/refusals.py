"""What an answer that allows nothing means, in the domain's words; a neutral refusal carries no reason."""

from contracts.consent import FlowAnswer


class Refused(Exception):
    """Consent refused. `rule`, `law` and `sentence` stand where the asker may know them; `red_line`: no consent can."""

    def __init__(self, answer: FlowAnswer) -> None:
        super().__init__(answer.outcome)
        self.red_line = answer.outcome == "red-line"
        self.rule, self.law, self.sentence = answer.rule, answer.law, answer.sentence


class Conflict(Exception):
    """Another content stands under this identifier and organisation."""


class NotReady(Exception):
    """The record is being opened."""


def refuse(answer: FlowAnswer) -> None:
    """Return when the answer allows; raise what it means otherwise."""
    if answer.outcome == "conflict":
        raise Conflict
    if answer.outcome == "stale":
        raise NotReady
    if answer.outcome != "allowed":
        raise Refused(answer)
