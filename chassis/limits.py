"""How often one may ask, before anything is asked for them: limits per application, professional and record.

Kept in the memory of one process: each instance allows as much, and one that begins anew forgets. They stop a loop and
a flood before the journal has to; who may see what is decided elsewhere, and by nothing that could be used up.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from prometheus_client import Counter

from chassis.settings import LimitSettings
from chassis.tokens import EVERY_RECORD, AccessToken

LIMITED = Counter("carnet_limited_total", "Requests that were refused for their number, by whose it was.", ["scope"])
_WINDOW_SECONDS = 60.0
_REMEMBERED = 100_000
_ROUNDING = 1e-6  # of sums of floats: the last of a minute's worth is not late
_Bucket = tuple[str, ...]


class TooMany(Exception):
    """Asked more often than allowed; `seconds` until it may be tried again. Whose number it was is not told."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.seconds = seconds


class Limits:
    """Token buckets that hold a minute's worth and fill evenly.

    An emergency has buckets of its own, and so has on a record each kind of actor: no loop of one's own software, and
    nobody who hammers a record, keeps a professional from an emergency or the person from her own record.
    """

    def __init__(self, settings: LimitSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._lock = Lock()  # FastAPI calls dependencies in threads
        # When each bucket will be full again (the clock's seconds): those who asked longest ago first.
        self._full_at: OrderedDict[_Bucket, float] = OrderedDict()

    def take(self, token: AccessToken) -> None:
        """Count a request of a caller whose token is believed; raise TooMany, and count nothing then.

        Whether there is such a record is not looked at.
        """
        with self._lock:
            self._take(token, self._clock())

    def _take(self, token: AccessToken, now: float) -> None:
        taken = {}
        for bucket, per_minute in self._buckets(token):
            full_at = max(now, self._full_at.get(bucket, now)) + _WINDOW_SECONDS / per_minute
            if (wait := full_at - now - _WINDOW_SECONDS) > _ROUNDING:
                LIMITED.labels(bucket[0]).inc()
                raise TooMany(math.ceil(wait))
            taken[bucket] = full_at
        for bucket, full_at in taken.items():
            self._full_at[bucket] = full_at
            self._full_at.move_to_end(bucket)
        while len(self._full_at) > _REMEMBERED:
            self._full_at.popitem(last=False)

    def _buckets(self, token: AccessToken) -> list[tuple[_Bucket, int]]:
        share = "emergency" if token.emergency else token.actor
        urgent = "emergency" if token.emergency else ""
        found: list[tuple[_Bucket, int]] = [
            (("application", token.application.id, urgent), self._settings.application_per_minute),
        ]
        if token.record != EVERY_RECORD:  # which is no record: else all who ask of them all would share one bucket
            found.append((("record", token.record, share), self._settings.record_per_minute))
        if token.actor == "professional":
            found.append((("professional", token.sub, share), self._settings.professional_per_minute))
        return found
