"""Age: say what time alone has changed, a child who came of age, an authority that is over."""

from uuid import uuid4

from services.identity.ports import Ages, Clock

_MOST = 100


class Age:
    """Finds what is due by its state, so what a crash or an outage left undone is found again; says each once."""

    def __init__(self, ages: Ages, clock: Clock) -> None:
        self._ages, self._clock = ages, clock

    async def __call__(self) -> int:
        """Bring some of what is due up to date, each in its own transaction; return how many there were."""
        due = await self._ages.due(self._clock(), _MOST)
        for record in due:
            await self._ages.age(record, self._clock(), uuid4().hex)
        return len(due)
