// What several screens are made of.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { indented, pieces, quoted, print, Num, unseen } from "./json.js";
import { unixSeconds } from "./format.js";
import { link } from "./router.js";

const name = (char) => `U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

/**
 * What others sent, as text. What cannot be seen is named: a control that turns the order of letters round could
 * otherwise make a value look like another one.
 */
export function Text({ of }) {
    const text = String(of ?? "");
    const parts = [];
    let at = 0;
    for (const found of text.matchAll(unseen())) {
        if (found.index > at) parts.push(text.slice(at, found.index));
        parts.push(html`<span class="unseen" title="a character that cannot be seen">${name(found[0])}</span>`);
        at = found.index + found[0].length;
    }
    if (at < text.length) parts.push(text.slice(at));
    return html`<bdi>${parts}</bdi>`;
}

/** The most of a JSON value that is laid out. The copy has all of it. */
const LAID_OUT = 4000;

export function Json({ of }) {
    const parts = [];
    let more = false;
    for (const [kind, text] of pieces(of)) {
        if (parts.length >= LAID_OUT) {
            more = true;
            break;
        }
        parts.push(kind === "mark" ? text : html`<span class=${`json-${kind}`}>${text}</span>`);
    }
    return html`<div class="code">
        <${Copy} text=${() => indented(of)} what="JSON" />
        <pre tabindex="0" role="region" aria-label="JSON"><code>${parts}</code></pre>
        ${more && html`<p class="hint">The rest is left out here. The copy has all of it.</p>`}
    </div>`;
}

export function Code({ text, what }) {
    return html`<div class="code">
        <${Copy} text=${() => text} what=${what} />
        <pre tabindex="0" role="region" aria-label=${what}><code>${text}</code></pre>
    </div>`;
}

async function copy(text) {
    try {
        await navigator.clipboard.writeText(text);
        return true;
    } catch {
        // Without TLS a browser gives a page no clipboard, but takes the older way.
        const area = document.createElement("textarea");
        area.value = text;
        area.className = "away";
        document.body.append(area);
        area.select();
        const done = document.execCommand("copy");
        area.remove();
        return done;
    }
}

export function Copy({ text, what }) {
    const [told, setTold] = useState("");
    useEffect(() => {
        if (!told) return undefined;
        const timer = setTimeout(() => setTold(""), 2000);
        return () => clearTimeout(timer);
    }, [told]);
    const click = async (event) => {
        const button = event.currentTarget;
        const done = await copy(text());
        button.focus();
        setTold(done ? "Copied" : "Select and copy by hand");
    };
    return html`<button type="button" class="copy" onClick=${click} aria-label=${`Copy ${what}`}>
        ${told || "Copy"}<span class="away" role="status">${told}</span>
    </button>`;
}

const SHAPES = { ok: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Z", warn: "M8 1.5 15 14H1Z", bad: "M2.5 2.5h11v11h-11Z" };

/** A sign whose shape says as much as its colour. */
export function Sign({ is }) {
    return html`<svg class=${`sign ${is}`} viewBox="0 0 16 16" aria-hidden="true"><path d=${SHAPES[is]} /></svg>`;
}

/** An error of a screen. What was known before stays on the screen. */
export function Trouble({ error }) {
    if (!error) return null;
    return html`<p class="trouble" role="alert"><${Sign} is="bad" /> <span><${Text} of=${error.message} /></span></p>`;
}

export function Id({ project, type, value }) {
    const to = link("customer", { project, id: `${type}:${value}` });
    return html`<a href=${to}><span class="quiet"><${Text} of=${type} />:</span><${Text} of=${value} /></a>`;
}

export function Field({ label, children, class: name = "" }) {
    return html`<label class=${`field ${name}`}><span>${label}</span>${children}</label>`;
}

/** A choice among projects. One that is in the address, but not in the list, is there all the same. */
export function Project({ value, projects, onPick, all = true, search = false }) {
    const tokens = (projects ?? []).map((one) => one.token);
    if (value && !tokens.includes(value)) tokens.push(value);
    return html`<${Field} label="Project">
        <select value=${value ?? ""} data-search=${search || null} onChange=${(event) => onPick(event.target.value)}>
            ${all && html`<option value="">all</option>`}
            ${tokens.map((token) => html`<option key=${token} value=${token}>${token}</option>`)}
        </select>
    </${Field}>`;
}

/** A choice of one, as buttons in a row. */
export function Tabs({ label, of, value, onPick }) {
    return html`<div class="tabs" role="group" aria-label=${label}>
        ${of.map(([key, text]) => html`<button type="button" key=${key} aria-pressed=${String(key === value)}
            onClick=${() => onPick(key)}>${text}</button>`)}
    </div>`;
}

export function Dialog({ title, onClose, children }) {
    const dialog = useRef();
    useEffect(() => {
        const before = document.activeElement;
        dialog.current.showModal();
        return () => before?.isConnected && before.focus();
    }, []);
    return html`<dialog ref=${dialog} aria-labelledby="dialog-title" onClose=${onClose}>
        <header>
            <h2 id="dialog-title">${title}</h2>
            <button type="button" class="plain" aria-label="Close" onClick=${() => dialog.current.close()}>✕</button>
        </header>
        ${children}
    </dialog>`;
}

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A command for a shell that sends an event. Nothing in the event can end a quote. */
export function curl({ calls, project, ids, type, time, properties }) {
    const customer = Object.create(null);
    for (const id of ids) customer[id.type] = id.value;
    const body = Object.create(null);
    body.customer_ids = customer;
    body.event_type = type;
    if (time) body.timestamp = new Num(unixSeconds(time));
    body.properties = properties ?? Object.create(null);
    const to = `${calls}/track/v2/projects/${encodeURIComponent(project)}/customers/events`;
    return [
        `curl -sS ${quote(to)}`,
        `  -H 'Authorization: Token YOUR_PUBLIC_KEY' -H 'Content-Type: application/json'`,
        `  -d ${quote(print(body))}`,
    ].join(" \\\n");
}

/** The commands with which a first event comes. */
export function FirstEvent({ status, project }) {
    if (!status) return null;
    const projects = status.projects ?? [];
    const one =
        projects.find((each) => each.token === project) ?? projects.find((each) => each.commands) ?? projects[0];
    if (!one) return html`<p class="hint">The settings have no project yet. Add one, and restart the service.</p>`;
    const sample = {
        calls: status.calls?.url,
        project: one.token,
        ids: [{ type: "registered", value: "jane@example.com" }],
        type: "page_visit",
        properties: { path: "/pricing" },
    };
    const commands = one.commands ? one.commands.split("\n\n") : [curl(sample)];
    const titles = ["Store an event", "Read it back"];
    return html`<div class="first">
        ${commands.map((text, i) => html`<div key=${i}>
            <h3>${commands.length > 1 ? `${i + 1}. ` : ""}${titles[i] ?? "Then"}</h3>
            <${Code} text=${text.trim()} what=${titles[i] ?? "command"} />
        </div>`)}
        ${!one.commands && html`<p class="hint">Put a public key of the project in place of YOUR_PUBLIC_KEY. The
            service keeps keys as hashes, so it cannot show them.</p>`}
    </div>`;
}

/** A line of the last values. The text beside it says the same. */
export function Spark({ values }) {
    const most = Math.max(1, ...values);
    const step = 80 / Math.max(1, values.length - 1);
    const points = values.map((value, i) => `${(i * step).toFixed(1)},${(17 - (value / most) * 15).toFixed(1)}`);
    return html`<svg class="spark" viewBox="0 0 80 18" aria-hidden="true">
        <polyline points=${points.join(" ")} /></svg>`;
}

export { quoted };
