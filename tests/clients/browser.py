"""What a page of another origin sends and watches, in Chromium.

    python browser.py CHROMIUM URL PROJECT_TOKEN PUBLIC_KEY KEY_ID KEY_SECRET
"""

import base64
import http.server
import socket
import sys
import threading
import time

import requests
from playwright.sync_api import sync_playwright

chromium, url, token, public, key_id, secret = sys.argv[1:]
session = requests.Session()
session.trust_env = False
session.auth = (key_id, secret)

SEND = """async ({ events, token, key }) => {
    const event = (event_type) => JSON.stringify({ customer_ids: { cookie: "page" }, event_type, timestamp: 1700000000 });
    const response = await fetch(events, {
        method: "POST",
        credentials: "include",
        headers: {
            "Content-Type": "application/json",
            Authorization: `Token ${key}`,
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            baggage: "sentry-environment=production,sentry-release=1.0",
            "sentry-trace": "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
        },
        body: event("fetch"),
    });
    // A beacon has no header of its own.
    const open = `${events}?access_token=${key}`;
    return {
        fetch: [response.status, (await response.json()).success, response.headers.get("RateLimit-Policy")],
        text: navigator.sendBeacon(open, event("text beacon")),
        blob: navigator.sendBeacon(open, new Blob([event("blob beacon")], { type: "application/json" })),
    };
}"""

# Reads as an EventSource does, which could not show a key.
WATCH = """({ watch, pair }) => {
    window.told = { last: "", events: [], resumed: [] };
    const follow = async () => {
        const headers = { Authorization: `Basic ${pair}` };
        if (told.last) headers["Last-Event-ID"] = told.last;
        const response = await fetch(watch, { headers });
        if (told.last) told.resumed.push(told.last);
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let text = ""; ; ) {
            const { done, value } = await reader.read();
            if (done) return;
            const pieces = (text + value).split("\\n\\n");
            text = pieces.pop();
            for (const piece of pieces) {
                for (const line of piece.split("\\n")) {
                    if (line.startsWith("id: ")) told.last = line.slice(4);
                    if (line.startsWith("data: ")) told.events.push(JSON.parse(line.slice(6)).properties.n);
                }
            }
        }
    };
    const again = () => follow().catch(() => {}).finally(() => setTimeout(again, 50));
    again();
}"""


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A page</title>")

    def log_message(self, *_):
        pass


class Line:
    """Leads connections to the service, until it is cut."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.whole = True
        self.ends = []
        threading.Thread(target=self.lead, daemon=True).start()

    def lead(self):
        while True:
            near, _ = self.listener.accept()
            if not self.whole:
                near.close()
                continue
            host, port = url.removeprefix("http://").split(":")
            far = socket.create_connection((host, int(port)))
            self.ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(one, other), daemon=True).start()

    def pump(self, one, other):
        try:
            while part := one.recv(65536):
                other.sendall(part)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self):
        self.whole = False
        for end in self.ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def add(n):
    event = {"customer_ids": {"cookie": "watched"}, "event_type": "watched", "properties": {"n": n}, "timestamp": n}
    session.post(f"{url}/track/v2/projects/{token}/customers/events", json=event, timeout=10).raise_for_status()


def types_of(cookie):
    body = {"customer_ids": {"cookie": cookie}}
    read = session.post(f"{url}/data/v2/projects/{token}/customers/export-one", json=body, timeout=10)
    return sorted(event["type"] for event in read.json().get("events", []))


site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
threading.Thread(target=site.serve_forever, daemon=True).start()
line = Line()
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium)
    page = browser.new_page()
    page.set_default_timeout(20_000)
    page.goto(f"http://localhost:{site.server_port}/")

    events = f"{url}/track/v2/projects/{token}/customers/events"
    sent = page.evaluate(SEND, {"events": events, "token": token, "key": public})
    assert sent == {"fetch": [200, True, '"perip";q=6000;w=60'], "text": True, "blob": True}, sent
    # Nobody is told when a beacon has arrived.
    deadline = time.monotonic() + 20
    while types_of("page") != ["blob beacon", "fetch", "text beacon"]:
        assert time.monotonic() < deadline, types_of("page")

    through = f"http://127.0.0.1:{line.listener.getsockname()[1]}"
    watch = f"{through}/data/v2/projects/{token}/events/watch?event_types=watched"
    pair = base64.b64encode(f"{key_id}:{secret}".encode()).decode()
    page.evaluate(WATCH, {"watch": watch, "pair": pair})
    page.wait_for_function("told.last")
    for n in (1, 2, 3):
        add(n)
    page.wait_for_function("told.events.length === 3")
    last = page.evaluate("told.last")
    line.cut()
    for n in (4, 5):
        add(n)
    line.whole = True
    page.wait_for_function("told.events.length >= 5")
    add(6)
    page.wait_for_function("told.events.length >= 6")
    told = page.evaluate("told")
    assert told["events"] == [1, 2, 3, 4, 5, 6], told
    assert told["resumed"] == [last], (told, last)
    browser.close()
print("the page's events are all there")
