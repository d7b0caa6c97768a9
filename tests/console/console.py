"""The console in Chromium, against a running service.

    python console.py CHROMIUM CALLS_URL CONSOLE_URL PROJECT_TOKEN PUBLIC_KEY KEY_ID KEY_SECRET
        [--axe axe.min.js] [--flood SECONDS] [--rate EVENTS] [--screenshots DIR]

The key may read, erase, and look at the console. Without `--axe`, npm is asked for axe-core. A flood takes a service
whose quotas let it pass: it sends batches of 50 events, `--rate` events a second in all.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request

from playwright.sync_api import sync_playwright

AXE_VERSION = "4.14.1"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
SCREENS = {"o": "Overview", "l": "Live", "r": "Refused", "c": "Customer", "m": "Limits", "s": "Service"}
RUN = f"{time.time_ns():x}"
LONG_TASK_MS = 200
HEAP_GROWTH_MAX = 6 << 20

parser = argparse.ArgumentParser()
for name in ("chromium", "calls", "console", "project", "public", "key_id", "secret"):
    parser.add_argument(name)
parser.add_argument("--axe")
parser.add_argument("--flood", type=float, default=0)
parser.add_argument("--rate", type=int, default=5000)
parser.add_argument("--screenshots")
given = parser.parse_args()
given.calls, given.console = given.calls.rstrip("/"), given.console.rstrip("/")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
pair = base64.b64encode(f"{given.key_id}:{given.secret}".encode()).decode()
errors, foreign = [], []


def send(route, body, authorization=f"Token {given.public}"):
    url = f"{given.calls}/track/v2/projects/{given.project}/{route}"
    headers = {"Content-Type": "application/json", "Authorization": authorization}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with opener.open(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def event(kind, properties, customer="console"):
    body = {"customer_ids": {"registered": f"{customer}-{RUN}"}, "event_type": kind, "properties": properties}
    answer = send("customers/events", {**body, "timestamp": round(time.time(), 6)})
    assert answer[0] == 200, f"an event was not accepted: {answer}"


def axe_source():
    if given.axe:
        source = pathlib.Path(given.axe).read_bytes()
    else:
        with tempfile.TemporaryDirectory() as directory:
            pack = ["npm", "pack", "--silent", f"axe-core@{AXE_VERSION}", "--pack-destination", directory]
            subprocess.run(pack, check=True, cwd=directory, stdout=subprocess.DEVNULL)
            with tarfile.open(next(pathlib.Path(directory).glob("*.tgz"))) as archive:
                source = archive.extractfile("package/axe.min.js").read()
    sha256 = hashlib.sha256(source).hexdigest()
    assert sha256 == AXE_SHA256, f"this is not axe-core {AXE_VERSION}: its SHA-256 is {sha256}"
    return source.decode()


def new_page(browser, width=1280, scheme="light"):
    size = {"width": width, "height": 860}
    context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: request.url.startswith(given.console + "/") or foreign.append(request.url))
    return page


def show(page, screen):
    page.goto(f"{given.console}/#/{screen}")
    page.wait_for_selector("h1")
    page.wait_for_timeout(300)
    if page.locator("form.sign-in").count():
        page.fill("[name=project]", given.project)
        page.fill("[name=key_id]", given.key_id)
        page.fill("[name=secret]", given.secret)
        page.keyboard.press("Enter")
        page.wait_for_selector("form.sign-in", state="detached")
        # Chromium tells of each 401 that led there.
        errors[:] = [error for error in errors if "401" not in error]


def connected(page):
    until("the feed does not open", lambda: "Connected" in page.inner_text(".line"))


def row(kind):
    return f"main .feed [data-row]:has-text('{kind}')"


def number(page, selector, name="n"):
    return int(page.get_attribute(selector, f"data-{name}"))


def until(what, condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def events_and_refusals_come_at_once(page):
    show(page, "live")
    connected(page)
    kind = f"seen {RUN}"
    event(kind, {"large": 9007199254740993, "price": 49.9, "nested": {"list": [1, None, True]}})
    page.wait_for_selector(row(kind), timeout=1000)
    page.click(row(kind))
    details = page.inner_text(".details")
    for text in ('"large": 9007199254740993', '"price": 49.9', "null", f"console-{RUN}", "Received", "Position"):
        assert text in details, f"{text} is not in the details: {details}"
    command = page.inner_text(".details .code:last-of-type code")
    for text in (given.calls, f'"event_type":"{kind}"', "YOUR_PUBLIC_KEY", "9007199254740993"):
        assert text in command, f"{text} is not in the command: {command}"
    page.keyboard.press("Escape")
    assert not page.locator(".details").count(), "Esc does not close the row"

    status, _ = send("customers/events", {"event_type": kind})
    assert status == 400, f"an event without IDs was answered with {status}"
    page.wait_for_selector(row("ids_missing"), timeout=1000)
    page.locator(row("ids_missing")).first.click()
    assert "ids_missing" in page.inner_text(".details"), "the details of a refusal do not name its reason"
    page.keyboard.press("Escape")


def a_command_of_a_shell_is_the_same_event(page):
    """Runs what the page shows, as a shell would."""
    show(page, "live")
    connected(page)
    kind = f"it's \"$(quoted)\" {RUN}"
    event(kind, {"text": "a'b\\c\n`d` $e !f", "large": -9223372036854775808})
    page.locator("main .feed [data-row]:has-text('quoted')").first.click()
    command = page.locator(".details [aria-label=curl] code").inner_text()
    answer = subprocess.run(["sh", "-c", command.replace("YOUR_PUBLIC_KEY", given.public) + " --noproxy '*'"],
                            capture_output=True, text=True, timeout=30)
    assert '"success": true' in answer.stdout or '"success":true' in answer.stdout, f"{command}\n{answer}"
    page.keyboard.press("Escape")


def pause_counts_and_resume_loses_nothing(page):
    show(page, "live")
    connected(page)
    kind = f"paused {RUN}"
    event(kind, {"n": 0})
    page.wait_for_selector(row(kind))
    shown = number(page, "#shown")
    page.keyboard.press("p")
    page.wait_for_selector("#waiting")
    for n in range(1, 8):
        event(kind, {"n": n})
    until("a paused page does not count what passes", lambda: number(page, "#waiting", "events") >= 7)
    assert number(page, "#waiting", "events") == 7, "a paused page counts too much"
    assert page.locator(row(kind)).count() == 1, "a paused page shows rows"
    page.keyboard.press("p")
    until("resume loses events", lambda: page.locator(row(kind)).count() == 8)
    order = [text.split("n=")[1] for text in page.locator(f"{row(kind)} .what").all_inner_texts()]
    assert order == [str(n) for n in range(7, -1, -1)], f"after a pause the order is {order}"
    assert number(page, "#shown") == shown + 7, "what is shown is counted wrong"


def what_callers_send_does_nothing(page):
    show(page, "live")
    connected(page)
    evil = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
    kind = f"evil\u202e{RUN}"
    event(kind, {evil: evil, "bidi": "user\u202egpj.exe", "__proto__": {"hacked": 1}}, "evil")
    page.wait_for_selector(row("evil"))
    page.locator(row("evil")).first.click()
    assert "\\u202e" in page.inner_text(".details [aria-label=JSON]"), "a bidi control is not an escape in JSON"
    assert page.locator(f"{row('evil')} .unseen:has-text('U+202E')").count(), "a bidi control is not made visible"
    for screen in (None, f"customer?project={given.project}&id=registered:evil-{RUN}"):
        if screen:
            show(page, screen)
            page.wait_for_selector(".timeline [data-row]")
            page.keyboard.press("j")
            page.keyboard.press("Enter")
        assert "\u202e" not in page.evaluate("document.body.textContent"), "a bidi control is in the page"
        assert page.evaluate("window.hacked") is None, "what a caller sent has run"
        assert not page.locator("main script, main img").count(), "what a caller sent has become an element"
    assert evil in page.inner_text("main"), "properties are not shown as text"


def everything_by_keyboard(page):
    show(page, "overview")
    for letter, title in SCREENS.items():
        page.keyboard.press("g")
        page.keyboard.press(letter)
        until(f"g {letter} does not lead to {title}", lambda: page.inner_text("h1").startswith(title))
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"the focus is not visible on {title}"
        if title in ("Live", "Refused", "Customer", "Service"):
            page.keyboard.press("/")
            assert page.evaluate("document.activeElement.matches('[data-search]')"), f"/ does nothing on {title}"
            page.keyboard.press("Escape")
        if title == "Live":
            connected(page)
            event(f"keys {RUN}", {})
        if title == "Customer":
            page.keyboard.press("/")
            page.keyboard.type(f"evil-{RUN}")
            page.keyboard.press("Enter")
        page.wait_for_selector("main [data-row]")
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.matches('[data-row]')"), f"j does nothing on {title}"
        if page.evaluate("document.activeElement.matches('button')"):
            page.keyboard.press("Enter")
            page.wait_for_selector("main [data-row][aria-expanded=true]")
            page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")


def filters_live_in_the_address(page):
    kind = f"kept {RUN}"
    show(page, f"live?project={given.project}&type={kind.replace(' ', '+')}")
    connected(page)
    event(f"other {RUN}", {})
    event(kind, {})
    page.wait_for_selector(row(kind))
    assert not page.locator(row(f"other {RUN}")).count(), "a filter lets others through"
    page.fill("[placeholder=any]", "")
    page.keyboard.press("Enter")
    until("a filter stays in the address", lambda: "type=" not in page.url)
    page.wait_for_selector(row(kind))


def a_customer_is_erased_with_a_key_and_its_id(page):
    event("gone", {}, "gone")
    show(page, f"customer?project={given.project}&id=registered:gone-{RUN}")
    page.click("main button.danger")
    page.fill("[name=key_id]", given.key_id)
    page.fill("[name=secret]", given.secret)
    assert page.is_disabled("dialog button.danger"), "erasing does not take a confirmation"
    page.fill("[name=typed]", f"gone-{RUN}")
    page.click("dialog button.danger")
    page.wait_for_selector("text=The customer is erased.")
    page.wait_for_timeout(500)
    # It is not there any more, which Chromium tells as an error.
    errors[:] = [error for error in errors if "404" not in error]


def fits(page, name):
    wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], f"{name} scrolls sideways: {wide}"


def accessible(page, axe, name):
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] }).then((all) => all.violations)")
    bad = [(one["id"], one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"])
           for one in found if one["impact"] in ("serious", "critical")]
    assert not bad, f"axe-core on {name}: {bad}"


def looks_well(browser, axe):
    customer = f"customer?project={given.project}&id=registered:evil-{RUN}"
    for scheme in ("light", "dark"):
        for width in (1280, 360):
            page = new_page(browser, width, scheme)
            show(page, "overview")
            for screen in ("overview", "live", "refused", "customer", customer, "limits", "service"):
                name = f"{screen.split('?')[0]}{'-found' if '?' in screen else ''}-{width}-{scheme}"
                show(page, screen)
                if screen == "live":
                    connected(page)
                    event(f"looks {RUN}", {"price": 49.9, "path": "/pricing", "long": "x" * 2000})
                    send("customers/events", {"event_type": "looks"})
                    page.wait_for_selector(row(f"looks {RUN}"))
                    fits(page, name)
                    accessible(page, axe, name)
                    page.locator(row(f"looks {RUN}")).first.click()
                if screen in ("refused", customer):
                    page.locator("main [data-row]").first.click()
                page.wait_for_timeout(400)
                fits(page, name)
                accessible(page, axe, name)
                if given.screenshots:
                    page.screenshot(path=f"{given.screenshots}/{name}.png", full_page=True)
            show(page, customer)
            page.click("main button.danger")
            accessible(page, axe, f"the dialog of erasing, {width}, {scheme}")
            fits(page, "the dialog of erasing")
            page.keyboard.press("Escape")
            page.keyboard.press("?")
            accessible(page, axe, f"the keys, {width}, {scheme}")
            page.context.close()


def flood(seconds, first, sent):
    """Sends batches from four threads, and counts what was accepted."""
    end = time.monotonic() + seconds
    lock, numbers, failed = threading.Lock(), iter(range(first, 1 << 40)), []

    def go():
        due = time.monotonic()
        while time.monotonic() < end and not failed:
            with lock:
                batch = [next(numbers) for _ in range(50)]
            data = [{"customer_ids": {"registered": f"flood-{n % 997}"}, "event_type": f"flood {RUN}",
                     "timestamp": 1_600_000_000 + n, "properties": {"n": n, "path": "/pricing"}} for n in batch]
            status, answer = send("batch", {"commands": [{"name": "customers/events", "data": one} for one in data]})
            if status != 200 or not all(result["success"] for result in answer["results"]):
                failed.append(f"a batch was not accepted: {status} {str(answer)[:300]}")
                return
            with lock:
                sent[0] += 50
            due += 200 / given.rate
            time.sleep(max(0, due - time.monotonic()))

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    return threads, failed


def a_flood_is_counted_and_blocks_nothing(page):
    show(page, f"live?type=flood+{RUN}")
    connected(page)
    tools = page.context.new_cdp_session(page)

    def heap():
        tools.send("HeapProfiler.collectGarbage")
        return tools.send("Runtime.getHeapUsage")["usedSize"]

    def run(part, first, pause=False):
        threads, failed = flood(part, first, sent)
        if pause:
            # In the middle of it, where the last row shown and the last count seldom meet.
            for _ in range(2):
                page.wait_for_timeout(part * 300)
                page.keyboard.press("p")
        for thread in threads:
            thread.join()
        assert not failed, failed[0]

    sent = [0]
    run(given.flood / 4, 0)
    before = heap()
    page.evaluate("""() => {
        window.tasks = [];
        new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => Math.round(entry.duration))))
            .observe({ type: "longtask" });
    }""")
    run(given.flood * 3 / 4, 1 << 20, pause=True)
    tasks = page.evaluate("tasks")
    growth = heap() - before
    counted = lambda: number(page, "#shown") + number(page, "#passed")
    try:
        until("", lambda: counted() == sent[0])
    except AssertionError:
        shown, passed = number(page, "#shown"), number(page, "#passed")
        raise AssertionError(f"sent {sent[0]}, shown {shown}, not shown {passed}") from None
    rows = page.locator("main .feed [data-row]").count()
    assert rows <= 500, f"the page has {rows} rows"
    assert max(tasks, default=0) <= LONG_TASK_MS, f"tasks of the page took {sorted(tasks)[-5:]} ms"
    assert growth < HEAP_GROWTH_MAX, f"the heap grew by {growth} bytes"
    print(f"flood: {sent[0]} sent, {number(page, '#shown')} shown, {number(page, '#passed')} not shown, "
          f"longest task {max(tasks, default=0)} ms, heap {growth:+} bytes")


def main():
    axe = axe_source()
    if given.screenshots:
        pathlib.Path(given.screenshots).mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.chromium)
        page = new_page(browser)
        events_and_refusals_come_at_once(page)
        a_command_of_a_shell_is_the_same_event(page)
        pause_counts_and_resume_loses_nothing(page)
        what_callers_send_does_nothing(page)
        everything_by_keyboard(page)
        filters_live_in_the_address(page)
        a_customer_is_erased_with_a_key_and_its_id(page)
        if given.flood:
            a_flood_is_counted_and_blocks_nothing(page)
        page.context.close()
        looks_well(browser, axe)
        browser.close()
    assert not errors, f"errors of the page: {errors}"
    assert not foreign, f"requests to others: {foreign}"
    print("the console is well")


try:
    main()
except AssertionError as error:
    sys.exit(f"FAILED: {error}")
