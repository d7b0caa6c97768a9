// One customer: who it is, what is known, what happened.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { basic, get, getExact, post } from "./api.js";
import { clock, day, moment, plural, sortable } from "./format.js";
import { Dialog, Field, Id, Json, Sign, Text, Trouble } from "./parts.js";
import { print } from "./json.js";
import { usePoll } from "./poll.js";
import { go, link } from "./router.js";

const split = (id = "") => {
    const at = id.indexOf(":");
    return at < 0 ? ["registered", id] : [id.slice(0, at), id.slice(at + 1)];
};

function Search({ params, projects }) {
    const [type, value] = split(params.id);
    const submit = (event) => {
        event.preventDefault();
        const { project, kind, id } = event.currentTarget.elements;
        go("customer", { project: project.value, id: `${kind.value.trim() || "registered"}:${id.value.trim()}` });
    };
    const tokens = (projects ?? []).map((one) => one.token);
    if (params.project && !tokens.includes(params.project)) tokens.unshift(params.project);
    return html`<form class="filters" onSubmit=${submit}>
        <${Field} label="Project"><select name="project" required value=${params.project ?? tokens[0] ?? ""}>
            ${tokens.map((token) => html`<option key=${token} value=${token}>${token}</option>`)}
        </select></${Field}>
        <${Field} label="Type of ID"><input name="kind" list="kinds" value=${type} required /></${Field}>
        <datalist id="kinds"><option value="registered" /><option value="cookie" /></datalist>
        <${Field} label="ID" class="long"><input name="id" type="search" data-search value=${value} required
            placeholder="jane@example.com" autocomplete="off" spellcheck=${false} /></${Field}>
        <button class="main">Show</button>
    </form>`;
}

const ACTS = {
    anonymize: ["Anonymise", "Takes IDs and properties from the customer. Its events stay, and are nobody's."],
    erase: ["Erase", "Removes the customer with its events. Nothing brings them back."],
};

function Act({ act, project, id, onClose, onDone }) {
    const [trouble, setTrouble] = useState("");
    const [typed, setTyped] = useState("");
    const [busy, setBusy] = useState(false);
    const [title, text] = ACTS[act];
    const [type, value] = split(id);
    const submit = async (event) => {
        event.preventDefault();
        const { key_id, secret } = event.currentTarget.elements;
        setBusy(true);
        try {
            const body = { project, customer_ids: { [type]: value } };
            await post(`customer/${act}`, body, { Authorization: basic(key_id.value, secret.value) });
            onDone();
        } catch (error) {
            setTrouble(error.message);
            setBusy(false);
        }
    };
    return html`<${Dialog} title=${`${title} this customer`} onClose=${onClose}>
        <form onSubmit=${submit} autocomplete="off">
            <p><b><${Text} of=${id} /></b> of project <b><${Text} of=${project} /></b>. ${text}</p>
            <${Field} label="Key ID"><input name="key_id" required autocomplete="off" /></${Field}>
            <${Field} label="Secret"><input name="secret" type="password" required autocomplete="off" /></${Field}>
            <p class="hint">The key needs the permission for this. The page keeps neither.</p>
            <${Field} label=${html`Type <b><${Text} of=${value} /></b> to confirm`}><input name="typed" required
                autocomplete="off" spellcheck=${false} value=${typed}
                    onInput=${(event) => setTyped(event.target.value)} /></${Field}>
            <div class="actions">
                <button type="button"
                    onClick=${(event) => event.currentTarget.closest("dialog").close()}>Cancel</button>
                <button class="danger" disabled=${typed !== value || busy}>${title}</button>
            </div>
            ${trouble && html`<p class="trouble" role="alert"><${Text} of=${trouble} /></p>`}
        </form>
    </${Dialog}>`;
}

function Entry({ entry, open, onOpen }) {
    if (entry.merge) {
        return html`<li class="merge"><span class="when">${clock(entry.time)}</span>
            <span><${Sign} is="warn" /> merged with${" "}
                ${entry.ids.map((id, i) => html`${i ? ", " : ""}<${Text}
                    of=${`${id.type}:${id.value}`} />`)}</span></li>`;
    }
    return html`<li>
        <button type="button" data-row tabindex="-1" class="row" aria-expanded=${String(open)} onClick=${onOpen}>
            <span class="when">${clock(entry.time)}</span>
            <span class="type"><${Text} of=${entry.type} /></span>
            <span class="what"><${Text} of=${print(entry.properties).slice(0, 240)} /></span>
        </button>
        ${open && html`<div class="unfolded"><p class="hint">Happened ${moment(entry.time)}</p>
            <${Json} of=${entry.properties} /></div>`}
    </li>`;
}

/** Events of this page, and the merges that fall between them. */
function entries({ events, merges, next }, before) {
    const times = events.map((event) => sortable(event.time));
    const newest = times[0];
    const oldest = times.at(-1);
    const here = ({ at }) => (!before || !newest || at <= newest) && (!next || !oldest || at > oldest);
    const of_events = events.map((event, i) => ({ ...event, at: times[i] }));
    const of_merges = (merges ?? []).map((merge) => ({ ...merge, at: sortable(merge.time), merge: true }));
    // Events of one time keep the order that the service gave them.
    return [...of_events, ...of_merges.filter(here)].sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0));
}

function Timeline({ data, params }) {
    const [open, setOpen] = useState(-1);
    const section = useRef();
    // Whoever goes on to older events has seen what stands above.
    useEffect(() => params.before && section.current.scrollIntoView(), []);
    const days = [];
    entries(data, params.before).forEach((entry, i) => {
        if (days.at(-1)?.day !== day(entry.time)) days.push({ day: day(entry.time), of: [] });
        days.at(-1).of.push({ entry, i });
    });
    const to = (before) => link("customer", { project: params.project, id: params.id, before });
    return html`<section class="panel feed timeline" ref=${section}>
        <h2>Timeline</h2>
        ${!days.length && html`<p class="empty">No event is stored for this customer.</p>`}
        <div data-rows tabindex="0" role="region" aria-label="Timeline, the newest first">
            ${days.map(({ day, of }) => html`<div key=${day}>
                <h3>${day} <span class="quiet">${plural(of.length, "entry", "entries")} on this page</span></h3>
                <ol>${of.map(({ entry, i }) => html`<${Entry} key=${i} entry=${entry} open=${open === i}
                    onOpen=${() => setOpen(open === i ? -1 : i)} />`)}</ol></div>`)}
        </div>
        <p class="pages">
            ${params.before && html`<a class="button" href=${to(undefined)}>To the newest</a>`}
            ${data.next && html`<a class="button" href=${to(data.next)}>Older</a>`}
            ${!data.next && days.length > 0 && html`<span class="hint">This is the beginning.</span>`}
        </p>
    </section>`;
}

/** Most properties that are shown at once, and how many take no search. */
const PROPERTIES_MAX = 300;
const PROPERTIES_FEW = 20;

function Found({ data, params, onDone }) {
    const [act, setAct] = useState(null);
    const [wanted, setWanted] = useState("");
    const matching = data.properties.filter(({ name, value }) =>
        !wanted || name.toLowerCase().includes(wanted) || print(value).toLowerCase().includes(wanted));
    const done = () => {
        setAct(null);
        onDone(act === "erase" ? "The customer is erased." : "The customer is anonymised.");
    };
    return html`
        <div class="pair">
            <section class="panel"><h2>IDs</h2>
                <ul class="ids">${data.ids.map((id, i) => html`<li key=${i}>
                    <${Id} project=${data.project} ...${id} /></li>`)}</ul>
                <div class="actions">
                    ${Object.entries(ACTS).map(([key, [title]]) => html`<button type="button" key=${key}
                        class=${key === "erase" ? "danger" : ""} onClick=${() => setAct(key)}>${title}…</button>`)}
                </div>
            </section>
            <section class="panel">
                <header class="bar"><h2>Properties</h2>
                    ${data.properties.length > PROPERTIES_FEW && html`<${Field} label="Contains"><input type="search"
                        onInput=${(event) => setWanted(event.target.value.toLowerCase())} /></${Field}>`}
                </header>
                ${data.properties.length ? html`<table data-rows tabindex="0">
                    <caption class="away">Properties with the time of their last update</caption>
                    <thead><tr><th>Name</th><th>Value</th><th class="wide">Updated</th></tr></thead>
                    <tbody>${matching.slice(0, PROPERTIES_MAX).map(({ name, value, updated }) => html`<tr key=${name}>
                        <th scope="row"><span data-row tabindex="-1"><${Text} of=${name} /></span></th>
                        <td class="value"><${Text} of=${typeof value === "string" ? value : print(value)} /></td>
                        <td class="wide">${moment(updated)}</td></tr>`)}</tbody>
                </table>` : html`<p class="empty">None is set.</p>`}
                ${matching.length > PROPERTIES_MAX && html`<p class="hint">
                    ${plural(matching.length - PROPERTIES_MAX, "more property", "more properties")} left out.</p>`}
            </section>
        </div>
        <${Timeline} key=${params.before ?? ""} data=${data} params=${params} />
        ${act && html`<${Act} act=${act} project=${data.project} id=${params.id} onClose=${() => setAct(null)}
            onDone=${done} />`}`;
}

export function Customer({ params }) {
    const { project, id, before } = params;
    const status = usePoll((signal) => get("status", {}, signal), 0);
    const key = project && id ? JSON.stringify([project, id, before]) : "";
    const ask = async (signal) => (key ? getExact("customer", { project, id, before }, signal) : null);
    const found = usePoll(ask, 0, key);
    const { error } = found;
    const [acted, setActed] = useState({ key: "", text: "" });
    const done = (text) => {
        setActed({ key, text });
        found.again();
    };
    return html`
        <${Search} key=${key} params=${params} projects=${status.data?.projects} />
        ${acted.text && acted.key === key && html`<p class="told" role="status"><${Sign} is="ok" /> ${acted.text}</p>`}
        ${error && error.status !== 404 && html`<${Trouble} error=${error} />`}
        ${error?.status === 404 && html`<div class="panel empty"><h2>There is no such customer</h2>
            <p><${Text} of=${error.message} /></p>
            <p>Compare type and value of the ID. A customer is there from its first event or update on, shortly after
                the answer to the call.</p></div>`}
        ${!key && html`<div class="panel empty"><h2>Look for a customer</h2>
            <p>Any ID does: a registered one, such as an address of mail, or a soft one, such as a cookie. IDs on${" "}
                <a href=${link("live")}>Live</a> lead here, too.</p></div>`}
        ${found.data && !error && html`<${Found} key=${`${project} ${id}`} data=${found.data} params=${params}
            onDone=${done} />`}`;
}
