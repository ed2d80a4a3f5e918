"""The page, as it is sent and as a person uses it in a real Chromium: by keyboard, on a phone, in the dark."""

import re
import signal
import threading
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product

import pytest
import uvicorn
from serving import browser, worlds
from serving.test_serve import Process

from metajax import Recommender
from metajax.experiment import BayesianLinear
from metajax.experiment.artifact import write_artifact
from metajax.serving.access import Access
from metajax.serving.app import make_app
from metajax.serving.keys import Keys, create_key
from metajax.serving.metrics import Metrics
from metajax.serving.routes_page import FILES, FOLDER
from metajax.serving.server import open_socket
from metajax.serving.service import Service
from metajax.serving.tokens import Sessions
from metajax.serving.version import Version
from metajax.serving.versions import Versions

SCRIPTS = {name: file.content.decode() for name, file in FILES.items() if name.endswith(".js")}
STYLE = FILES["page.css"].content.decode()
HALVES = tuple(0.5 * number for number in range(1, 11))


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []
        self.feed(FILES["index.html"].content.decode())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


TAGS = Tags().tags


def test_the_page_is_sent_once_and_asked_about_after(running):
    first = running.client.get("/")
    assert (first.status_code, first.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert first.headers["cache-control"] == "no-cache"
    assert "default-src 'none'; script-src 'self'" in first.headers["content-security-policy"]
    assert "set-cookie" not in first.headers
    for known in (first.headers["etag"], f'"other", W/{first.headers["etag"]}', "*"):
        again = running.client.get("/", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert running.client.get("/", headers={"If-None-Match": '"other"'}).content == first.content


def test_all_that_the_page_names_is_there(running):
    named = {value for _, attributes in TAGS for name, value in attributes.items() if name in ("src", "href")}
    named |= {path for text in SCRIPTS.values() for path in re.findall(r'from "([^"]+)"', text)}
    named -= {name for name in named if name.startswith("#")}
    assert {f"/page/{name}" for name in FILES} - named == {"/page/index.html"}
    for path in named:
        answer = running.client.get(path)
        assert answer.status_code == 200, path
        kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}.get(path.rpartition(".")[2])
        assert kind is None or answer.headers["content-type"].startswith(kind)
    ids = {attributes["id"] for _, attributes in TAGS if "id" in attributes}
    wanted = {one for text in SCRIPTS.values() for one in re.findall(r'byId\("([^"]+)"\)', text)}
    assert wanted - ids == set()
    assert {
        attributes[name] for _, attributes in TAGS for name in attributes.keys() & {"for", "aria-labelledby"}
    } <= ids


def test_nothing_else_is_sent(running):
    for path in ("/page/nothing.js", "/page/..%2fapp.py", "/page/%2e%2e/app.py", "/page/"):
        assert running.client.get(path).status_code == 404, path
    assert {path.name for path in FOLDER.iterdir()} == FILES.keys()


def test_the_page_needs_no_other_host_and_nothing_inline():
    for name, file in FILES.items():
        text = file.content.decode().replace("http://www.w3.org/2000/svg", "")  # a name, which nothing asks for
        assert not re.search(r"\b(https?|wss?)://|[\"'(]//", text), name
        assert not re.search(r"\b(eval|innerHTML|outerHTML|document\.write)\b", text), name
    for tag, attributes in TAGS:
        assert tag != "style"
        assert tag != "script" or attributes["src"].startswith("/page/")
        assert not any(name == "style" or name.startswith("on") for name in attributes)


def colours(text):
    return {name: tuple(int(value[at : at + 2], 16) for at in (0, 2, 4)) for name, value in TOKEN.findall(text)}


TOKEN = re.compile(r"--([a-z-]+): #([0-9a-f]{6});")
LIGHT = colours(STYLE.partition("@media")[0])
DARK = colours(STYLE.partition("prefers-color-scheme: dark")[2])


def contrast(one, other):
    """WCAG 2.2, success criteria 1.4.3 and 1.4.11."""

    def luminance(colour):
        parts = [part / 255 for part in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_what_is_to_be_read_stands_out(theme):
    assert theme.keys() == LIGHT.keys()
    texts = [*product(("ink", "soft", "accent", "up", "down"), ("ground", "card"))]
    texts += [("on-accent", "accent"), ("card", "down"), ("card", "star"), ("ink", "band"), ("ground", "ink")]
    for front, back in texts:
        assert contrast(theme[front], theme[back]) >= 4.5, (front, back)
    for front, back in product(("star", "edge"), ("ground", "card")):
        assert contrast(theme[front], theme[back]) >= 3, (front, back)


@pytest.fixture(scope="module")
def believing(as_services_run):
    """Return a version that says how sure it is, of half stars."""
    artifact = replace(worlds.make_artifact(BayesianLinear()), scale=(0.5, 5.0), levels=HALVES)
    version = Version(Recommender(artifact), "beliefs")
    version.warm_up(worlds.BUCKETS)
    return version


@contextmanager
def listening(version, folder):
    """Serve in a thread, on a real socket; yield the address and the store."""
    keys = folder / "keys.json"
    create_key(keys, ("recommend",))
    opened, store = Keys(keys), worlds.MemoryStore()
    service = Service(Versions(version, worlds.SETTINGS, load=Version.load), store, worlds.SETTINGS, Metrics())
    app = make_app(service, Access(opened, Sessions(opened.derived("session"), 1000.0), None))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="on", ws="none", log_config=None, access_log=False))
    socket = open_socket("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}/", store
    finally:
        server.should_exit = True
        thread.join(30)
        socket.close()


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chromium")
    with browser.chromedriver(folder) as driver, browser.window(driver, folder / "profile") as one:
        yield one


class Page:
    """What a person does with the page."""

    def __init__(self, window, address, store):
        self.window, self.address, self.store = window, address, store

    def open(self):
        self.window.open(self.address)
        self.settle()

    def settle(self):
        """Wait until the service's answer is shown."""
        self.window.wait("return document.querySelector('#list').ariaBusy === 'false'")

    def search(self, text):
        script = """
            const box = document.querySelector('#query');
            box.value = arguments[0];
            box.dispatchEvent(new Event('input'))"""
        self.window.run(script, text)

    def rate(self, item, rating, where="#results"):
        self.window.click(f"{where} [data-item={item}] input[value='{rating}']")

    def find_and_rate(self, item, rating):
        self.search(f"title of {item}")
        self.window.wait("return document.querySelector('#results li')?.dataset.item === arguments[0]", item)
        self.rate(item, rating)
        self.window.wait("return document.querySelector('#status').textContent.includes('Your list')")
        self.settle()

    def items(self, where="#list"):
        return self.window.run(
            "return [...document.querySelectorAll(`${arguments[0]} > li`)].map((one) => one.dataset.item)", where
        )

    def scores(self):
        return self.window.texts("#list .score .unseen")

    def ratings(self):
        """Return the ratings that the page shows as the person's own."""
        script = """
            return [...document.querySelectorAll('#ratings > li')]
              .map((row) => [row.dataset.item, Number(row.querySelector(':checked').value)])"""
        return dict(self.window.run(script))

    def stored(self):
        """Return the ratings in the store, whoever gave them."""
        latest = {}
        for event in self.store.events:
            latest[event.item] = event.rating
        return {item: rating for item, rating in latest.items() if rating is not None}


@pytest.fixture
def page(window, believing, tmp_path):
    """Yield the page as somebody sees it who was never there; at the end the console must have nothing to say."""
    with listening(believing, tmp_path) as (address, store):
        yield from opened(window, address, store)


def opened(window, address, store):
    window.devtools("Network.clearBrowserCookies")
    window.window(1280, 900)
    one = Page(window, address, store)
    one.open()
    yield one
    assert window.log() == []
    window.open("about:blank")


FIVE = {"i3": 5, "i5": 4.5, "i8": 1, "i11": 0.5, "i2": 5}


def test_five_ratings_change_the_list_a_reload_remembers_and_erasing_forgets(page, believing):
    assert page.window.text("#list-note").startswith("You have rated nothing yet")
    before = page.items(), page.scores()
    for item, rating in FIVE.items():
        page.find_and_rate(item, rating)
    person = believing.recommender.adapt(FIVE)
    expected = person.recommend(10, min_ratings=2)  # a tenth of the most rated one's 20
    assert page.items() == [one.item for one in expected]
    assert (page.items(), page.scores()) != before
    assert [float(one.split()[1]) for one in page.scores()] == pytest.approx([one.score for one in expected], abs=0.051)
    assert all(re.fullmatch(r"Predicted \d\.\d of 5, likely between \d\.\d and \d\.\d\.", one) for one in page.scores())
    assert page.ratings() == page.stored() == FIVE
    assert page.window.text("#list-note") == "From 5 ratings of yours."
    list_, user = page.items(), page.window.text("#user")

    page.open()
    assert (page.items(), page.window.text("#user"), page.ratings()) == (list_, user, FIVE)
    kept = page.window.run("return fetch(document.querySelector('#export').href).then((answer) => answer.json())")
    assert kept["ratings"] == FIVE

    page.window.click("#forget")
    assert "Your 5 ratings" in page.window.text("#forget-text")
    page.window.press("Escape")
    assert page.stored() == FIVE
    page.window.click("#forget")
    page.window.click("#forget-confirm")
    page.window.wait("return document.querySelector('#status').textContent.startsWith('You are forgotten')")
    assert (page.store.events, page.ratings(), (page.items(), page.scores())) == ([], {}, before)
    assert page.window.text("#user") != user
    assert page.window.run("return document.querySelector('#ratings-note').textContent").startswith("None yet")


def test_nothing_is_rated_while_all_is_forgotten(page):
    """What a person clicks on meanwhile would be stored after all is deleted."""
    page.find_and_rate("i3", 5)
    page.window.run("""
        window.real = fetch; window.sent = [];
        window.fetch = (path, options) => {
          sent.push(path);
          if (options.method !== "DELETE") return real(path, options);
          return new Promise((go) => (window.go = (answer) => go(answer ?? real(path, options))));
        }""")
    main = "return document.querySelector('#main').inert"

    def forget():
        page.window.click("#forget")
        page.window.click("#forget-confirm")
        page.window.wait("return Boolean(window.go)")
        assert page.window.run(main)

    forget()
    page.window.run("""go(new Response('{"error": {"message": "Not now."}}', {status: 400})); window.go = null""")
    page.window.wait("return document.querySelector('#problem').textContent.startsWith('Not now.')")
    page.window.wait("return !document.querySelector('#main').inert")
    assert page.ratings() == page.stored() == {"i3": 5}
    assert page.window.run("return document.activeElement.id") == "forget"

    forget()
    page.window.run("document.querySelector('#results [data-item=i3] input:not(:checked)').click()")
    page.window.run("go()")
    page.window.wait("return document.querySelector('#status').textContent.startsWith('You are forgotten')")
    page.window.wait("return !document.querySelector('#main').inert")
    assert (page.store.events, page.ratings()) == ([], {})
    assert "/v1/feedback" not in page.window.run("return sent")
    assert page.window.run("return document.activeElement.id") == "list-heading"
    page.find_and_rate("i3", 4)
    assert page.stored() == {"i3": 4}


def test_ratings_are_corrected_and_withdrawn(page):
    page.find_and_rate("i3", 5)
    page.rate("i3", 2.5, "#ratings")
    page.window.wait("return document.querySelector('#status').textContent.startsWith('Title of i3: 2.5. Your list')")
    assert page.stored() == {"i3": 2.5}
    page.window.click("#ratings [data-item=i3] .withdraw")
    page.window.wait(
        "return document.querySelector('#status').textContent.startsWith('Title of i3: withdrawn. Your list')"
    )
    assert (page.stored(), page.ratings()) == ({}, {})
    assert not page.window.run("return document.querySelector('#results [data-item=i3] :checked')")


def test_a_rating_is_seen_before_the_service_has_answered(page):
    first = page.items()[0]
    page.window.run("window.real = fetch; window.fetch = () => new Promise((go) => (window.go = go))")
    page.window.click(f"#list [data-item={first}] .acts button:last-child")
    page.rate(first, 4, "#list")
    assert first not in page.items()
    assert page.ratings() == {first: 4}
    assert page.stored() == {}
    page.window.run("window.fetch = window.real; go(new Response('', {status: 503}))")  # and it is sent again
    page.settle()
    assert page.stored() == {first: 4}
    assert first not in page.items()
    assert len(page.items()) == 10


def test_ratings_in_quick_succession_are_stored_in_their_order(page, believing):
    """The first is held back; meanwhile it is corrected, and another title is rated."""
    page.window.run("""
        window.held = []; window.real = fetch;
        window.fetch = (path, options) => path === "/v1/feedback" && !held.length
          ? new Promise((go) => held.push(() => go(real(path, options)))) : real(path, options)""")
    page.rate("i19", 1)
    page.rate("i18", 5)
    page.rate("i19", 4.5, "#ratings")
    assert page.ratings() == {"i19": 4.5, "i18": 5}
    page.window.run("held[0]()")
    page.settle()
    assert [(event.item, event.rating) for event in page.store.events] == [("i19", 1), ("i18", 5), ("i19", 4.5)]
    expected = believing.recommender.adapt({"i19": 4.5, "i18": 5}).recommend(10, min_ratings=2)
    assert page.items() == [one.item for one in expected]
    assert page.ratings() == {"i19": 4.5, "i18": 5}


def test_reasons_are_the_recommenders(page, believing):
    why = "#list > li:first-child .acts button:first-child"
    page.window.click(why)
    page.window.wait("return document.querySelector('#list .panel').textContent.startsWith('You have rated')")
    page.window.click(why)
    for item, rating in list(FIVE.items())[:2]:
        page.find_and_rate(item, rating)
    page.window.click(why)
    page.window.wait("return document.querySelectorAll('#list .reasons li').length")
    reasons = believing.recommender.adapt(dict(list(FIVE.items())[:2])).explain(page.items()[0])
    assert page.window.texts("#list .reasons .effect") == [
        f"{one.effect:+.2f}".replace("-", "\N{MINUS SIGN}") for one in reasons
    ]
    assert page.window.run("return document.querySelector(arguments[0]).ariaExpanded", why) == "true"


def test_the_next_question_is_asked_until_nothing_is_left(page, believing):
    asked = page.window.text("#question-body h3")
    assert asked == believing.recommender.adapt({}).questions(1)[0].title
    page.window.click("#skip")
    page.window.wait("return document.querySelector('#question-body h3').textContent !== arguments[0]", asked)
    second = page.window.run("return document.querySelector('#question-body').dataset.item")
    page.window.click("#question input[value='4']")
    page.window.wait("return document.querySelector('#question-body').dataset.item !== arguments[0]", second)
    assert page.stored() == {second: 4}
    page.open()
    assert page.window.text("#question-body h3") not in (asked, f"Title of {second}")


def test_the_keyboard_alone_can_rate(page):
    window = page.window
    focused = "return document.activeElement.matches(arguments[0])"
    window.press("Tab")
    assert window.run("return document.activeElement.textContent") == "Skip to your list"
    assert window.run("return document.activeElement.getBoundingClientRect().top") >= 0
    window.press("Tab")
    assert window.run(focused, "#question input[type=radio]")
    window.press(" ", *["ArrowRight"] * 6)
    assert page.stored() == {}  # the keys have not rested
    assert window.run("return getComputedStyle(document.activeElement.parentElement).outlineStyle") == "solid"
    item = window.run("return document.querySelector('#question-body').dataset.item")
    window.press("Enter")
    window.wait("return document.querySelector('#question-body').dataset.item !== arguments[0]", item)
    assert page.stored() == {item: 3.5}
    assert window.run(focused, "#question input[type=radio]")  # of the next question
    window.press("Tab", "Tab")
    assert window.run(focused, "#query")
    window.press("title of i7")
    window.wait("return document.querySelector('#results li')?.dataset.item === 'i7'")
    window.press("Tab", " ", "ArrowRight", "Tab")  # leaving the stars is meaning them
    window.wait("return document.querySelector('#ratings [data-item=i7]')")
    page.settle()
    assert page.stored() == {item: 3.5, "i7": 1}


def test_while_the_service_is_busy_an_event_is_sent_again_under_its_id(page):
    page.window.run("""
        window.sent = []; window.real = fetch;
        window.fetch = (path, options) => {
          if (path !== "/v1/feedback") return real(path, options);
          sent.push(JSON.parse(options.body).events[0].id);
          if (sent.length === 1) return Promise.resolve(new Response("{}", {status: 503}));
          if (sent.length === 2) return real(path, options).then(() => { throw new TypeError("the answer is lost") });
          return real(path, options);
        }""")
    page.find_and_rate("i3", 5)
    assert len(page.window.run("return sent")) == 3
    assert len(set(page.window.run("return sent"))) == 1
    assert [event.id.split("\x1f")[1] for event in page.store.events] == page.window.run("return sent.slice(0, 1)")


def test_what_the_service_refuses_is_taken_back_and_tried_again(page):
    page.window.run("""
        window.real = fetch;
        window.fetch = (path, options) => path !== "/v1/feedback" ? real(path, options) : Promise.resolve(
          new Response(JSON.stringify({error: {code: "defect", message: "It failed."}}), {status: 500}))""")
    page.rate("i19", 5)
    page.window.wait("return !document.querySelector('#problem').hidden")
    assert page.window.text("#problem") == "It failed. Try again"
    assert page.ratings() == page.stored() == {}
    page.window.run("window.fetch = window.real")
    page.window.click("#problem button")
    page.window.wait("return document.querySelector('#ratings [data-item=i19]')")
    page.settle()
    assert page.stored() == {"i19": 5}
    assert page.window.run("return document.querySelector('#problem').hidden")


def test_whose_cookie_is_gone_begins_anew(page):
    page.find_and_rate("i3", 5)
    page.window.run("const now = Date.now; Date.now = () => now() + 60000")
    page.window.devtools("Network.clearBrowserCookies")
    page.rate("i3", 1, "#ratings")
    page.window.wait("return document.querySelector('#status').textContent.startsWith('Your session had ended')")
    assert page.ratings() == {}
    assert all("401 (Unauthorized)" in line for line in page.window.log())
    page.find_and_rate("i5", 5)
    assert page.ratings() == {"i5": 5}


def test_who_keeps_no_cookie_is_told(page):
    early = "const real = fetch; window.fetch = (path, options) => real(path, {...options, credentials: 'omit'})"
    added = page.window.devtools("Page.addScriptToEvaluateOnNewDocument", source=early)
    page.window.open(page.address)
    page.window.wait("return document.querySelector('#problem').textContent.includes('Allow cookies')")
    page.window.devtools("Page.removeScriptToEvaluateOnNewDocument", **added)
    assert all("401 (Unauthorized)" in line for line in page.window.log())
    page.open()
    assert page.window.run("return document.querySelector('#problem').hidden")


def test_a_search_without_finds_says_what_to_do(page):
    page.search("zzzz")
    page.window.wait("return document.querySelector('#found').textContent.startsWith('Nothing is like “zzzz”. Try')")
    assert page.items("#results") == []


def test_a_model_without_titles_and_beliefs(window, version, tmp_path, monkeypatch):
    """Ids stand for titles; no band, and it is said why."""
    monkeypatch.setattr(version.catalogue, "titles", [None] * worlds.NUM_ITEMS)
    with listening(version, tmp_path) as (address, store):
        for page in opened(window, address, store):
            page.rate("i19", 5)
            window.wait("return document.querySelector('#status').textContent.startsWith('i19: 5. Your list')")
            page.settle()
            assert window.texts("#list h3") == page.items()
            assert all(re.fullmatch(r"Predicted \d\.\d of 5\.", one) for one in page.scores())
            assert "does not say how sure" in window.text("#legend")
            assert window.run("return getComputedStyle(document.querySelector('#list .range')).display") == "none"
            assert window.texts("#results [data-item=i19] label:has(:checked)") == [""]


def test_a_model_that_only_ranks_shows_no_ratings(window, ranking, tmp_path):
    with listening(ranking, tmp_path) as (address, store):
        for page in opened(window, address, store):
            page.rate("i19", 5)
            window.wait("return document.querySelector('#status').textContent.includes('Your list')")
            page.settle()
            assert len(page.items()) > 1
            shown = "return [...document.querySelectorAll('#list .score')].some((one) => one.offsetParent !== null)"
            assert not window.run(shown)
            assert window.text("#legend").startswith("What you are most likely to take up next comes first.")


KINDS = {
    "whole": ((1, 5), (1, 2, 4, 5), "stars", [1, 2, 3, 4, 5]),
    "halves": ((0.5, 5), HALVES, "stars", list(HALVES)),
    "ten": ((1, 10), tuple(range(1, 11)), "stars", list(range(1, 11))),
    "with nought": ((0, 5), tuple(range(6)), "stars", list(range(6))),
    "liked or not": ((0, 1), (0, 1), "words", [0, 1]),
    "liked": ((1, 1), (1,), "words", [1]),
    "below nought": ((-2, 2), (-2, 0, 2), "numbers", [-2, 0, 2]),
    "a line": ((-10, 10), tuple(-10 + 0.37 * number for number in range(50)), "line", None),
}


@pytest.mark.parametrize(("scale", "levels", "kind", "choices"), KINDS.values(), ids=KINDS.keys())
def test_every_scale_can_be_rated_on(page, scale, levels, kind, choices):
    """The control itself: what it offers, and that a choice is told."""
    found = page.window.run(
        """
        const [lowest, highest, levels] = arguments;
        return import("/page/stars.js").then(({stars}) => {
          let rated = null;
          const control = stars({scale: {lowest, highest, levels}, legend: "x", onRate: (rating) => (rated = rating)});
          document.body.append(control.node);
          const inputs = [...control.node.querySelectorAll("input")];
          const last = inputs.at(-1);
          if (last.type === "range") { last.value = highest; last.dispatchEvent(new Event("input")); }
          else last.checked = true;
          last.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true}));
          const names = inputs.map((one) => one.ariaLabel);
          control.node.remove();
          const values = last.type === "range" ? null : inputs.map((one) => Number(one.value));
          return [control.node.className, values, rated, names];
        })""",
        *scale,
        list(levels),
    )
    assert found[:3] == [f"stars {kind}", choices, scale[1]]
    assert all(found[3])
    assert len(set(found[3])) == len(found[3])


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_it_fits_a_phone_and_the_dark(page, width, dark, tmp_path):
    page.find_and_rate("i3", 5)
    page.window.window(width, 640, dark=dark, touch=width == 320)
    page.window.click("#list > li:first-child .acts button:first-child")
    page.window.click("#list > li:nth-child(2) .acts button:last-child")
    page.window.wait("return document.querySelectorAll('#list .reasons li').length")
    assert page.window.run("return document.documentElement.scrollWidth <= innerWidth")
    wide = page.window.run("""
        return [...document.querySelectorAll('main *')]
          .filter((one) => one.getBoundingClientRect().right > innerWidth)
          .map((one) => one.outerHTML)""")
    assert wide == []
    heights = "return [...document.querySelectorAll('.number, .rank')].map((one) => one.getBoundingClientRect().height)"
    assert max(page.window.run(heights)) < 36  # one line each
    background = page.window.run("return getComputedStyle(document.body).backgroundColor")
    assert background == f"rgb{(DARK if dark else LIGHT)['ground']}"
    page.window.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes()[16:24] == width.to_bytes(4) + (640).to_bytes(4)


def test_a_breach_of_the_policy_would_be_seen(page):
    script = "Object.assign(document.createElement('script'), {textContent: 'window.breach = true'})"
    page.window.run(f"document.body.append({script})")
    page.window.run("document.body.setAttribute('style', 'color: red')")
    assert not page.window.run("return window.breach")
    assert len([line for line in page.window.log() if "Content Security Policy" in line]) == 2


def test_who_wants_no_motion_sees_none(page):
    still = {"name": "prefers-reduced-motion", "value": "reduce"}
    page.window.devtools("Emulation.setEmulatedMedia", features=[still])
    page.window.run("""
        window.moves = 0;
        const real = Element.prototype.animate;
        Element.prototype.animate = function (...of) { moves += 1; return real.apply(this, of); }""")
    page.find_and_rate("i3", 5)
    assert page.window.run("return moves") == 0
    page.window.devtools("Emulation.setEmulatedMedia", features=[])
    page.find_and_rate("i5", 0.5)
    assert page.window.run("return moves") > 0


@pytest.mark.slow
def test_the_command_serves_the_page(as_services_run, window, tmp_path):
    """`metajax serve` itself, in a process of its own: what it prints as the page's address is the page."""
    write_artifact(worlds.make_artifact(), tmp_path / "model")
    process = Process(tmp_path)
    try:
        process.wait_until_ready()
        for page in opened(window, f"{process.address}/", worlds.MemoryStore()):
            page.find_and_rate("i3", 5)
            page.open()
            assert page.ratings() == {"i3": 5}
    finally:
        code, errors = process.end(signal.SIGTERM)
    assert code == 0, errors
