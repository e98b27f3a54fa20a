"""What a page lacks for people who hear it or see little: names of controls, contrast of text."""

from typing import Any

from tests.page.browser import Page

NAMED_ROLES = frozenset(
    ("button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "tab", "table", "image", "dialog")
)
LOW_CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgba = (color) => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
};
const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
const ground = (element) => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
  return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
};
const light = (color) => {
  const [r, g, b] = color.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const text = walker.currentNode.data.trim(), element = walker.currentNode.parentElement;
  if (!text || !element.checkVisibility({ opacityProperty: true })) continue;
  if (element.closest("noscript, option, .hidden, :disabled, [data-busted], label:has(:disabled)")) continue;
  const under = ground(element), top = over(rgba(getComputedStyle(element).color), under);
  const [high, low] = [light(top), light(under)].sort((a, b) => b - a);
  const ratio = (high + 0.05) / (low + 0.05);
  if (ratio < 4.5) found.push([text.slice(0, 30), element.className, Math.round(ratio * 100) / 100]);
}
return found;
"""
"""Visible text with less contrast to its ground than 4.5 : 1 (WCAG AA); what is disabled or busted may have less."""


async def nameless(page: Page) -> list[dict[str, Any]]:
    """Controls, tables and pictures in the accessibility tree without a name."""
    nodes = (await page.cdp("Accessibility.getFullAXTree"))["nodes"]
    return [
        {"role": node["role"]["value"], "id": node["nodeId"], "properties": node.get("properties", [])[:3]}
        for node in nodes
        if not node["ignored"]
        and node["role"]["value"] in NAMED_ROLES
        and not node.get("name", {}).get("value", "").strip()
    ]
