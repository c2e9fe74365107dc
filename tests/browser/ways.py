"""Ways in which text gets into a page."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Locator, Page


def copy(page: Page, text: str) -> None:
    """Put a text on the clipboard."""
    page.evaluate("text => navigator.clipboard.writeText(text)", text)


def paste_by_mouse(page: Page) -> None:
    """Paste what the clipboard has as the browser's own menu does: no key is released afterwards."""
    session = page.context.new_cdp_session(page)
    session.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", "commands": ["paste"]})
    session.detach()


def paste_by_keyboard(page: Page) -> None:
    """Paste what the clipboard has with Ctrl+V."""
    page.keyboard.press("Control+V")


def drop(page: Page, place: Locator, *files: Path) -> None:
    """Drag files from outside the browser over a place and let go."""
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box, "nothing to drop on"
    where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + min(20, box["height"] / 2)}
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for step in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": step, **where, "data": data})
    session.detach()
