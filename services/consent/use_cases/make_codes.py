"""Make one-time codes: the patient gives one to a professional, and so agrees to his access (R.1111-46)."""

from collections.abc import Sequence

from services.consent.domain.codes import code_digest, new_code
from services.consent.domain.flow import Change
from services.consent.own_flows import Asking
from services.consent.use_cases.change_directives import ChangeDirectives
from services.consent.use_cases.decide import Decided


class MakeCodes:
    """Returns codes once; what stays is their digests, in an encrypted entry."""

    def __init__(self, change: ChangeDirectives) -> None:
        self._change = change

    async def __call__(self, asking: Asking, count: int, until: int) -> tuple[Decided, Sequence[str]]:
        """Return the decision and the codes; raise what changing directives raises."""
        codes = [new_code() for _ in range(count)]
        members = tuple(code_digest(asking.record, each) for each in codes)
        return await self._change(asking, Change("code", until=until, members=members)), codes
