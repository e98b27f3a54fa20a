"""The stream of generated requests: profile, seed, mix and tag decide every byte; it uses no clock and no I/O."""

from collections.abc import Iterator
from random import Random

from app.verification.ledger import Kind, Request
from load import request
from load.hostile import hostile, other_body
from load.profiles import MIXED, Drawn, Mix, Profile
from load.request import Terms

BLOCK = 1_000  # each block of this many requests has the exact shares of the mix
REMEMBERED = 8_192  # earlier orders from which repeats and cancels choose
SETTLED = 256  # an order this many orders ago is answered, so another body under its key surely arrives second
SHOUTED_EVERY = 8
OTHER_BODY_EVERY = 8


def requests(profile: Profile, seed: int, mix: Mix = MIXED, tag: str = "") -> Iterator[Request]:
    """An endless stream of requests. Keys begin with `tag`, by default the seed; another tag gives equal new orders."""
    return _Stream(profile, seed, mix, tag or f"s{seed}").draw()


class _Stream:
    def __init__(self, profile: Profile, seed: int, mix: Mix, tag: str) -> None:
        self.profile, self.mix, self.tag = profile, mix, tag
        self.random = Random(f"{profile.name} {seed} {mix}")
        self.number = 0  # of the next request
        self.drawn = 0  # orders drawn from the profile
        self.placed: list[Request] = []

    def draw(self) -> Iterator[Request]:
        while True:
            for kind in self._block():
                yield self._request(kind)
                self.number += 1

    def _block(self) -> list[Kind]:
        """The kinds of a thousand requests: a limit order first, market orders in one burst, the rest at random."""
        mix, others = self.mix, self.mix.cancel + self.mix.repeat + self.mix.hostile
        kinds = [Kind.LIMIT] * (BLOCK - others - mix.market)
        kinds += [Kind.CANCEL] * mix.cancel + [Kind.REPEAT] * mix.repeat + [Kind.HOSTILE] * mix.hostile
        self.random.shuffle(kinds)
        first = kinds.index(Kind.LIMIT)
        kinds[0], kinds[first] = kinds[first], kinds[0]
        at = self.random.randint(1, len(kinds))
        return kinds[:at] + [Kind.MARKET] * mix.market + kinds[at:]

    def _request(self, kind: Kind) -> Request:
        if kind is Kind.LIMIT or kind is Kind.MARKET:
            return self._place(kind)
        if kind is Kind.CANCEL:
            return request.cancel_of(self._earlier(), self._key())
        if kind is Kind.REPEAT:
            return self._earlier()._replace(kind=Kind.REPEAT)
        if len(self.placed) > SETTLED and self.random.randrange(OTHER_BODY_EVERY) == 0:
            return other_body(self._earlier(but_last=SETTLED))
        return hostile(self.random, self._key())

    def _place(self, kind: Kind) -> Request:
        drawn = self.profile.draw(self.random, self.drawn, self.profile.instruments)
        self.drawn += 1
        terms = self._terms(kind, drawn)
        made = request.place(kind, terms, self._key(), shouted=self.number % SHOUTED_EVERY == 0)
        if len(self.placed) < REMEMBERED:
            self.placed.append(made)
        else:
            self.placed[self.drawn % REMEMBERED] = made
        return made

    def _terms(self, kind: Kind, drawn: Drawn) -> Terms:
        client = f"c{self.random.randrange(self.profile.clients)}"
        is_market = kind is Kind.MARKET or drawn.price is None
        price = None if is_market or drawn.price is None else _text(drawn.price)
        type_ = "market" if is_market else "limit"
        return Terms(client, drawn.instrument, drawn.side, type_, _text(drawn.quantity), price)

    def _earlier(self, but_last: int = 0) -> Request:
        """A remembered order at random, but not one of the last `but_last`, which may be unanswered."""
        if not but_last:
            return self.placed[self.random.randrange(len(self.placed))]
        back = self.random.randrange(but_last, len(self.placed))
        return self.placed[(self.drawn - back) % len(self.placed)]

    def _key(self) -> str:
        return f"{self.tag}-{self.number}"


def _text(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02d}"
