"""Small PNGs: a screenshot with at most 256 colours, for documents."""

import asyncio
import base64
import struct
import zlib
from pathlib import Path

from tests.page.browser import Page

REDUCE = """
const bitmap = await createImageBitmap(await (await fetch("data:image/png;base64," + arguments[0])).blob());
const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
canvas.drawImage(bitmap, 0, 0);
const pixels = canvas.getImageData(0, 0, bitmap.width, bitmap.height).data;
const counts = new Map();
const keyAt = (at) => ((pixels[at] >> 3) << 10) | ((pixels[at + 1] >> 3) << 5) | (pixels[at + 2] >> 3);
for (let at = 0; at < pixels.length; at += 4) {
  const found = counts.get(keyAt(at)) ?? { count: 0, first: [pixels[at], pixels[at + 1], pixels[at + 2]] };
  found.count += 1;
  counts.set(keyAt(at), found);
}
const palette = [...counts.values()].sort((a, b) => b.count - a.count).slice(0, 256).map((found) => found.first);
const nearest = new Map();
for (const [key, { first }] of counts) {
  let best = 0, least = Infinity;
  palette.forEach((color, at) => {
    const far = color.reduce((sum, value, i) => sum + (value - first[i]) ** 2, 0);
    if (far < least) { least = far; best = at; }
  });
  nearest.set(key, best);
}
const indices = new Uint8Array(pixels.length / 4);
for (let at = 0; at < pixels.length; at += 4) indices[at / 4] = nearest.get(keyAt(at));
let text = "";
for (let at = 0; at < indices.length; at += 32768) text += String.fromCharCode(...indices.subarray(at, at + 32768));
return [bitmap.width, bitmap.height, palette, btoa(text)];
"""


async def take(page: Page, file: Path) -> None:
    """Write what the browser shows."""
    await asyncio.to_thread(_write, file, await asyncio.to_thread(page.driver.get_screenshot_as_png))


async def reduce(page: Page, source: Path, target: Path) -> int:
    """Write a picture again with a palette, from an empty page; returns its bytes."""
    await page.open("about:blank")
    picture = base64.b64encode(await asyncio.to_thread(source.read_bytes)).decode()
    width, height, palette, indices = await page.later(REDUCE, picture)
    rows = base64.b64decode(indices)
    raw = b"".join(b"\0" + rows[at : at + width] for at in range(0, width * height, width))
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", bytes(value for color in palette for value in color)),
        (b"IDAT", zlib.compress(raw, 9)),
        (b"IEND", b""),
    )
    chunks = (struct.pack(">I", len(body)) + kind + body + _check(kind + body) for kind, body in parts)
    return await asyncio.to_thread(_write, target, b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def _write(file: Path, picture: bytes) -> int:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file.write_bytes(picture)


def _check(chunk: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(chunk))
