"""Note how far identity was heard on a partition of its records' topic."""

from services.consent.ports import CLOCKS_APART_MS, Beats, Clock


class NoteBeat:
    """A beat is taken in behind the events of its partition, so what it says holds for what consent knows of them."""

    def __init__(self, beats: Beats, clock: Clock) -> None:
        self._beats, self._clock = beats, clock

    async def __call__(self, partition: int, as_of: int, offset: int) -> int | None:
        """Note a beat, of all that identity had said until `as_of` (ms); return what was noted, None for nothing.

        From a clock that is ahead of ours the beat's age cannot be told: by a little it counts as of now, by more it
        proves nothing, and the partition falls stale.
        """
        now = self._clock()
        if as_of > now + CLOCKS_APART_MS:
            return None
        heard = min(as_of, now)
        await self._beats.note(partition, heard, offset)
        return heard
