"""A message to many, as a WebSocket frame: encoded once, whoever receives it."""

from msgspec import Struct

from app.models.streams import Body, encode

TEXT = b"\x81"  # a text frame that is whole (RFC 6455); what a server sends has no mask
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
            frame = self._frames[prev_seq] = framed(b'{"prev_seq":%d%b' % (prev_seq, self._rest))
        return frame


def frame_of(body: Struct) -> bytes:
    """A frame for one client."""
    return framed(encode(body))


def framed(payload: bytes) -> bytes:
    """A text frame."""
    size = len(payload)
    if size < 126:
        return b"%b%c%b" % (TEXT, size, payload)
    if size < 2**16:
        return b"%b\x7e%b%b" % (TEXT, size.to_bytes(2), payload)
    return b"%b\x7f%b%b" % (TEXT, size.to_bytes(8), payload)
