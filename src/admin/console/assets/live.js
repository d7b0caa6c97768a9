// Events and refusals as they come.

import { Component, html, useEffect, useState } from "./vendor/htm-preact.js";
import { get } from "./api.js";
import { Feed } from "./feed.js";
import { clock, count, moment, plural, span } from "./format.js";
import { useKeys, forgetRow } from "./keyboard.js";
import { Code, Field, FirstEvent, Id, Json, Project, Sign, Tabs, Text, curl } from "./parts.js";
import { usePoll } from "./poll.js";
import { filter, link } from "./router.js";

// One for the whole visit: what came goes on being there after a look at another screen.
const feed = new Feed();

const SHOWS = [["", "All"], ["events", "Events"], ["refusals", "Refusals"]];

/** A customer's ID as the service reads it. Without a type it is the usual one. */
const customerOf = (text) => (!text || text.includes(":") ? text : `registered:${text}`);

class Row extends Component {
    // A row never changes: only its being open does.
    shouldComponentUpdate(next) {
        return next.row !== this.props.row || next.open !== this.props.open;
    }

    render({ row, open, onOpen }) {
        const refused = row.kind === "refusal";
        return html`<li>
            <button type="button" data-row tabindex="-1" class=${`row ${row.kind}`} aria-expanded=${String(open)}
                onClick=${() => onOpen(row)}>
                <span class="when">${clock(refused ? row.time : row.received)}</span>
                <span class="project"><${Text} of=${row.project ?? "–"} /></span>
                <span class="type">${refused
                    ? html`<${Sign} is="bad" /> refused: ${row.reason}`
                    : html`<${Text} of=${row.type} />`}</span>
                <span class="who">${refused
                    ? html`<${Text} of=${row.address ?? row.key ?? "–"} />`
                    : html`<${Text} of=${row.ids.map((id) => `${id.type}:${id.value}`).join(" ")} />`}</span>
                <span class="what"><${Text} of=${refused ? row.text : row.preview} /></span>
            </button>
        </li>`;
    }
}

const apart = ({ time, received }) => {
    const seconds = (Date.parse(received) - Date.parse(time)) / 1000;
    if (Math.abs(seconds) < 1) return "at once";
    return seconds > 0 ? `${span(seconds)} later` : `${span(-seconds)} before it happened`;
};

function EventFacts({ row, calls }) {
    return html`
        <dl class="facts">
            <dt>Customer</dt>
            <dd>${row.ids.map((id) => html`<div key=${id.type}><${Id} project=${row.project} ...${id} /></div>`)}</dd>
            <dt>Project</dt><dd><${Text} of=${row.project} /></dd>
            <dt>Happened</dt><dd>${moment(row.time)}</dd>
            <dt>Received</dt><dd>${moment(row.received)} <span class="quiet">${apart(row)}</span></dd>
            <dt>Position</dt><dd>${count(row.position)}</dd>
        </dl>
        <h3>Properties</h3>
        <${Json} of=${row.properties} />
        <h3>The same as curl</h3>
        ${calls ? html`<${Code} what="curl" text=${curl({ calls, ...row })} />` : html`<p class="hint">The address for
            calls is not known.</p>`}
        <p class="hint">With this time, customer and properties it is the same event: the service drops it as a
            duplicate. Leave out <code>timestamp</code> to store another one.</p>`;
}

export function RefusalFacts({ row, reason }) {
    const some = (label, value) => value && html`<dt>${label}</dt><dd><${Text} of=${value} /></dd>`;
    return html`
        <dl class="facts">
            <dt>Reason</dt><dd><a href=${link("refused", { reason: row.reason })}>${row.reason}</a></dd>
            <dt>Text</dt><dd><${Text} of=${row.text} /></dd>
            ${reason && html`<dt>What to do</dt><dd>${reason.advice}</dd>`}
            ${some("Field", row.field)}
            <dt>Time</dt><dd>${moment(row.time)}</dd>
            ${some("Project", row.project)}${some("Key", row.key)}${some("Address", row.address)}
            ${some("Route", row.route)}${some("Request ID", row.request_id)}
        </dl>
        ${row.excerpt && html`<h3>What was sent</h3><div class="code"><pre tabindex="0" role="region"
            aria-label="What was sent"><code><${Text} of=${row.excerpt} /></code></pre></div>`}`;
}

function Details({ row, calls, reasons, onClose }) {
    useKeys({ Escape: onClose });
    const refused = row.kind === "refusal";
    return html`<aside class="panel details" aria-label="The opened row">
        <header class="bar">
            <h2>${refused ? html`<${Sign} is="bad" /> Refused` : html`<${Text} of=${row.type} />`}</h2>
            <button type="button" class="plain" onClick=${onClose} aria-label="Close the row">✕</button>
        </header>
        ${refused ? html`<${RefusalFacts} row=${row} reason=${reasons?.get(row.reason)} />`
            : html`<${EventFacts} row=${row} calls=${calls} />`}
    </aside>`;
}

const NO_CUSTOMER = { type: undefined, customer: undefined };

/** What the feed is asked for. Refusals have no type and no customer, so with such a filter there are only events. */
function wanted({ project, type, customer, show }) {
    const narrow = type || customer;
    const shown = narrow ? "events" : show || "events,refusals";
    return { show: shown, project, type: narrow ? type : undefined, customer: customerOf(customer) };
}

function Line() {
    const { paused, line, trouble, waiting } = feed;
    if (line === "lost") {
        return html`<span class="line"><${Sign} is="bad" /> Not connected: ${trouble} Trying again.</span>`;
    }
    if (paused) {
        const refusals = waiting.refusals ? `, ${plural(waiting.refusals, "refusal")}` : "";
        return html`<span class="line"><${Sign} is="warn" /> Paused. Passed since:
            <b id="waiting" data-events=${waiting.events} data-refusals=${waiting.refusals}>
                ${plural(waiting.events, "event")}${refusals}</b></span>`;
    }
    return html`<span class="line"><${Sign} is="ok" /> ${line === "open" ? "Connected" : "Connecting…"}</span>`;
}

export function Live({ params }) {
    const [, render] = useState(0);
    const [open, setOpen] = useState(null);
    const status = usePoll((signal) => get("status", {}, signal), 0);
    const reasons = usePoll(async (signal) => {
        const answer = await get("reasons", {}, signal);
        return new Map(answer.reasons.map((reason) => [reason.tag, reason]));
    }, 0);

    useEffect(() => feed.subscribe(() => render((n) => n + 1)), []);
    const query = wanted(params);
    useEffect(() => {
        feed.narrow(query);
        forgetRow();
    }, [JSON.stringify(query)]);
    useEffect(() => {
        const seen = () => (document.hidden ? feed.stop() : feed.start());
        seen();
        document.addEventListener("visibilitychange", seen);
        return () => {
            document.removeEventListener("visibilitychange", seen);
            feed.stop();
        };
    }, []);

    const toggle = () => (feed.paused ? feed.resume() : feed.pause());
    useKeys({ p: toggle });
    const close = () => {
        setOpen(null);
        const row = document.querySelector("main [data-row][aria-expanded=true]");
        row?.focus();
    };
    const pick = (name) => (event) => filter({ [name]: event.target.value.trim() || undefined });
    const onOpen = (row) => setOpen((old) => (old === row ? null : row));
    const types = [...new Set(feed.rows.map((row) => row.type).filter(Boolean))].slice(0, 50);
    const passed = feed.passed.events + feed.passed.refusals;
    const narrowed = params.project || params.type || params.customer || params.show;

    return html`
        <form class="filters" onSubmit=${(event) => event.preventDefault()}>
            <${Project} value=${params.project} projects=${status.data?.projects}
                onPick=${(project) => filter({ project: project || undefined })} />
            <${Field} label="Type"><input type="search" data-search list="types" value=${params.type ?? ""}
                onChange=${pick("type")} placeholder="any" /></${Field}>
            <datalist id="types">${types.map((type) => html`<option key=${type} value=${type} />`)}</datalist>
            <${Field} label="Customer" class="long"><input type="search" value=${params.customer ?? ""}
                onChange=${pick("customer")} placeholder="registered:jane@example.com" /></${Field}>
            <${Tabs} label="What to show" of=${SHOWS} value=${query.show.includes(",") ? "" : query.show}
                onPick=${(show) => filter({ show: show || undefined, ...(show === "events" ? {} : NO_CUSTOMER) })} />
            <button type="button" id="pause" class="main" aria-pressed=${String(feed.paused)} onClick=${toggle}>
                ${feed.paused ? "Resume" : "Pause"}</button>
        </form>
        <p class="counts"><${Line} />
            <span>Shown <b id="shown" data-n=${feed.shown}>${count(feed.shown)}</b></span>
            <span title="The service sends 50 rows a second at most, and counts the others">Not shown
                ${" "}<b id="passed" data-n=${passed}>${count(passed)}</b></span>
            ${narrowed && html`<button type="button" class="plain" onClick=${() => filter({ project: undefined,
                type: undefined, customer: undefined, show: undefined })}>Remove filters</button>`}
            <button type="button" class="plain" onClick=${() => feed.clear()}>Clear</button>
        </p>
        <div class=${`split ${open ? "opened" : ""}`}>
            <div class="panel feed flow">
                <div class="row heading" aria-hidden="true"><span>Received</span><span>Project</span><span>Type</span>
                    <span>Customer</span><span>Properties</span></div>
                ${feed.rows.length > 0 && html`<ol data-rows tabindex="0"
                    aria-label="Events and refusals, the newest first">
                    ${feed.rows.map((row) => html`<${Row} key=${row.key} row=${row} open=${open === row}
                        onOpen=${onOpen} />`)}
                </ol>`}
                ${!feed.rows.length && html`<div class="empty">
                    <h2>${narrowed ? "Nothing that matches has come" : "Nothing has come"} since this page opened</h2>
                    <p>${narrowed ? "Remove filters, or send an event that matches."
                        : "Rows appear here within a second of the call."}</p>
                    <${FirstEvent} status=${status.data} project=${params.project} />
                </div>`}
            </div>
            ${open && html`<${Details} row=${open} calls=${status.data?.calls?.url} reasons=${reasons.data}
                onClose=${close} />`}
        </div>`;
}
