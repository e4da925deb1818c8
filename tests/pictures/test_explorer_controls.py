"""The page on which a model runs: its steps, keys and buttons, and how it fits a screen."""

import pytest

from draw_tf.pictures.page import page
from tests.support.pages import MNIST, MODELS, STILL, draw

pytestmark = pytest.mark.slow


def test_keys_slider_and_buttons_move_through_the_steps(visit):
    browser = visit(page(*draw("paper")))
    place = "$('place').textContent"
    for key, step in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowRight", 3), ("ArrowLeft", 2),
                      ("End", 3), ("Home", 1)):
        browser.press(key)
        assert browser.evaluate(place) == f"step {step} of 3"
    browser.evaluate("$('slider').focus()")
    for key, step in (("End", 3), ("ArrowLeft", 2)):
        browser.press(key)
        assert browser.evaluate(place) == f"step {step} of 3"
    browser.evaluate("$('next').click()")
    assert browser.evaluate(place) == "step 3 of 3"
    browser.evaluate("document.activeElement.blur()")
    browser.press("ArrowDown")
    browser.evaluate(STILL)
    assert browser.evaluate("drawing.example") == 1
    browser.evaluate("$('examples').children[1].focus()")
    browser.press("ArrowLeft")
    browser.evaluate(STILL)
    assert browser.evaluate("drawing.example") == 0
    browser.evaluate("go(2)")
    assert browser.evaluate("location.hash") == "#mode=draw&image=1&step=2"


def test_the_page_plays_once_and_stops(visit):
    browser = visit(page(*draw("paper")))
    browser.evaluate("document.activeElement.blur()")
    seen = browser.evaluate("""new Promise(done => {
      const seen = new Set();
      new MutationObserver(() => {
        seen.add($("place").textContent);
        if (seen.has("finished")) done([...seen]); }).observe($("place"), {childList: true});
      toggle(); })""")
    assert seen == ["step 1 of 3", "step 2 of 3", "step 3 of 3", "finished"]
    assert browser.evaluate("[$('play').textContent, timer]") == ["Play", 0]
    browser.press(" ", text=" ")
    assert browser.evaluate("$('play').textContent") == "Stop"
    browser.press(" ", text=" ")
    assert browser.evaluate("[$('play').textContent, timer]") == ["Play", 0]


def test_without_a_worker_it_computes_in_slices(visit, browser):
    script = browser.send("Page.addScriptToEvaluateOnNewDocument", source="delete window.Worker")
    try:
        visit(page(*draw("paper")))
        assert browser.evaluate("[typeof Worker, run.steps.length]") == ["undefined", 3]
    finally:
        browser.send("Page.removeScriptToEvaluateOnNewDocument", **script)


@pytest.mark.parametrize("name", MODELS)
def test_every_control_and_picture_has_a_name_and_fits(visit, name):
    browser = visit(page(*draw(name)))
    grounds, modes = set(), ("new", "walk", "finish", "draw")
    for width in (360, 800, 1400):
        for mode in modes:
            browser.evaluate(f"setMode('{mode}')")
            browser.look(width, scheme="dark" if mode == "walk" else "light")
            browser.evaluate(STILL)
            assert browser.evaluate("document.documentElement.scrollWidth") <= width, (width, mode)
            grounds.add(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2
    for mode in modes:
        browser.evaluate(f"setMode('{mode}')")
        tree = browser.send("Accessibility.getFullAXTree")["nodes"]
        named = [(node["role"]["value"], node.get("name", {}).get("value")) for node in tree
                 if not node["ignored"] and node["role"]["value"] in (
                     "button", "slider", "checkbox", "combobox", "image", "img", "link",
                     "application", "ColorWell")]
        assert {"button", "slider", "combobox", "link"} <= {role for role, _ in named}
        assert [role for role, name in named if not name] == [], mode


def test_fingers_can_hit_every_control_on_a_phone(visit):
    browser = visit(page(*draw("paper")), width=360, height=740)
    for mode in ("new", "walk", "finish", "draw"):
        browser.evaluate(f"setMode('{mode}')")
        small = browser.evaluate("""[...document.querySelectorAll("button, select, input")].filter(
          element => element.offsetWidth && element.offsetHeight < (
            element.type === "checkbox" ? 24 : 44)).map(element => element.id)""")
        assert small == []


@pytest.mark.parametrize("size", [(1366, 768), (1400, 1000), (1920, 1080)])
def test_the_bars_are_seen_without_scrolling(visit, size):
    browser = visit(page(*draw("paper"), train=MNIST), width=size[0], height=size[1])
    top, bottom = browser.evaluate("(b => [b.top, b.bottom])($('bars').getBoundingClientRect())")
    assert top > 0 and bottom <= size[1]
