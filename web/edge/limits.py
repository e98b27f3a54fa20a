"""Rate limits: a token bucket for each key or address, stored as one integer: the time when it is full again.

The library `limits` has only windows. A fixed window lets twice its quota through at its edge; a moving window keeps an
entry for each hit (16 us for a batch of 1,000); both refuse a batch larger than the quota. This bucket is exact and
takes less than a microsecond. After any batch, it is full again in the time that the batch's orders cost.
"""

from collections import OrderedDict
from math import ceil
from time import monotonic_ns

from aiohttp import web

from web import metrics
from web.edge.problems import Problem

DEFAULT_RATE = 1_000.0  # requests a second, where other machines can reach the gateway
MAX_ADDRESSES = 10_000  # in memory; beyond, the address that has been silent longest is forgotten
SECOND_NS = 1_000_000_000


class Bucket:
    """A token bucket that holds one second's worth of requests, at least one, and refills at `rate` a second."""

    __slots__ = ("_depth_ns", "_full_at_ns", "_interval_ns", "policy")

    def __init__(self, rate: float) -> None:
        size = max(1, int(rate))
        self._interval_ns = max(1, round(SECOND_NS / rate))
        self._depth_ns = size * self._interval_ns
        self._full_at_ns = 0
        self.policy = f'"requests";q={size};w={ceil(self._depth_ns / SECOND_NS)}'

    def take(self, cost: int, now_ns: int) -> int:
        """Return 0 if granted, else the ns until enough tokens are available; then nothing is taken.

        A request that costs more than the bucket holds passes once the bucket is full, and the refill then takes
        longer.
        """
        start = max(self._full_at_ns, now_ns)
        worth = cost * self._interval_ns
        missing_ns = start + worth - now_ns - max(self._depth_ns, worth)
        if missing_ns <= 0:
            self._full_at_ns = start + worth
            return 0
        return missing_ns

    def put_back(self, cost: int) -> None:
        """Undo a grant."""
        self._full_at_ns -= cost * self._interval_ns

    def left(self, now_ns: int) -> str:
        """The header `RateLimit`: requests left, and seconds until the bucket is full."""
        owed_ns = max(0, self._full_at_ns - now_ns)
        left = max(0, self._depth_ns - owed_ns) // self._interval_ns
        return f'"requests";r={left};t={ceil(owed_ns / SECOND_NS)}'


class Addresses:
    """The buckets of the most recent client addresses."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def bucket(self, address: str) -> Bucket:
        """The bucket of this address."""
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = Bucket(self._rate)
            if len(self._buckets) > MAX_ADDRESSES:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(address)
        return bucket


BUCKET = web.RequestKey("bucket", Bucket)


def charge_orders(request: web.Request, count: int) -> None:
    """Charge a batch for its number of orders instead of as one request; raises 429."""
    bucket = request.get(BUCKET)
    if bucket is not None:
        bucket.put_back(1)
        charge(request, count)


def charge(request: web.Request, cost: int) -> None:
    """Take this many requests from the caller's bucket, if it has one; raises 429."""
    bucket = request.get(BUCKET)
    if bucket is None:
        return
    missing_ns = bucket.take(cost, monotonic_ns())
    if missing_ns:
        metrics.rate_limited.inc()
        wait_s = ceil(missing_ns / SECOND_NS)
        sentence = f"too many requests; there is room for this one in {wait_s} s"
        raise Problem(429, "rate_limited", sentence, {"Retry-After": str(wait_s)})


async def say_limits(request: web.Request, response: web.StreamResponse) -> None:
    """aiohttp's hook before each answer: add the headers of draft-ietf-httpapi-ratelimit-headers."""
    bucket = request.get(BUCKET)
    if bucket is not None:
        response.headers["RateLimit-Policy"] = bucket.policy
        response.headers["RateLimit"] = bucket.left(monotonic_ns())
