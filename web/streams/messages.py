"""A message to many: encoded once, whoever receives it."""

from app.models.streams import Body, encode

_PREFIX = len(b'{"prev_seq":0')


class Message:
    """A message of a channel. Receivers may differ in `prev_seq`: a frame is made once for each value that it takes."""

    __slots__ = ("_frames", "_rest", "body", "seq")

    def __init__(self, body: Body) -> None:
        self.body, self.seq = body, body.seq
        self._rest: bytes | None = None
        self._frames: dict[int, bytes] = {}

    def frame(self, prev_seq: int) -> bytes:
        """The message for those who have everything up to this seq."""
        frame = self._frames.get(prev_seq)
        if frame is None:
            if self._rest is None:
                self._rest = encode(self.body)[_PREFIX:]
            frame = self._frames[prev_seq] = b'{"prev_seq":%d%b' % (prev_seq, self._rest)
        return frame
