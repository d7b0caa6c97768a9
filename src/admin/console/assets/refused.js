// What was refused, dropped or remarked on, and why.

import { html, useEffect, useState } from "./vendor/htm-preact.js";
import { get } from "./api.js";
import { ago, clock, count, day } from "./format.js";
import { useKeys } from "./keyboard.js";
import { RefusalFacts } from "./live.js";
import { Field, Project, Sign, Spark, Tabs, Text, Trouble } from "./parts.js";
import { useNow, usePoll } from "./poll.js";
import { filter } from "./router.js";

const PERIOD = 2000;
const LISTED = 200;
/** As many counts as make the trend: a minute and a half while somebody looks. */
const SAMPLES = 45;
const TABS = [["refused", "Refused"], ["dropped", "Dropped"], ["remark", "Remarks"]];
const EMPTY = {
    refused: "Every call that came was accepted.",
    dropped: "No event came twice. A retry of an event that is stored already would be counted here.",
    remark: "Nothing was stored in another way than it was meant.",
};

/** Counts by reason as they were at each look. They stay while the page is open. */
const samples = new Map();

function sample(reasons, project) {
    for (const reason of reasons) {
        const key = `${project ?? ""} ${reason.tag}`;
        const kept = samples.get(key) ?? [];
        kept.push(total(reason, project));
        if (kept.length > SAMPLES) kept.shift();
        samples.set(key, kept);
    }
}

function total(reason, project) {
    if (project) return reason.counts?.[project] ?? 0;
    return Object.values(reason.counts ?? {}).reduce((sum, n) => sum + n, 0);
}

/** How much came between one look and the next. */
const steps = (kept = []) => kept.slice(1).map((n, i) => Math.max(0, n - kept[i]));

function Reason({ reason, project, open, onOpen, picked, now }) {
    const trend = steps(samples.get(`${project ?? ""} ${reason.tag}`));
    const more = trend.reduce((sum, n) => sum + n, 0);
    const { last } = reason;
    const counts = Object.entries(reason.counts ?? {}).filter(([, n]) => n > 0);
    return html`
        <tr class=${picked ? "picked" : ""}>
            <th scope="row"><button type="button" data-row tabindex="-1" class="opener" aria-expanded=${String(open)}
                onClick=${onOpen}><span class="arrow" aria-hidden="true"></span>${reason.tag}</button></th>
            <td class="n">${count(total(reason, project))}</td>
            <td class="trend"><${Spark} values=${trend.length ? trend : [0]} />
                <span>${more ? `+${count(more)}` : "steady"}</span></td>
            <td class="wide">${last ? ago(last.time, now) : "–"}</td>
            <td class="wide meaning">${reason.meaning}</td>
        </tr>
        ${open && html`<tr class="opened"><td colspan="5">
            <dl class="facts">
                <dt>Meaning</dt><dd>${reason.meaning}</dd>
                <dt>What to do</dt><dd>${reason.advice}</dd>
                <dt>By project</dt><dd>${counts.length ? counts.map(([token, n], i) =>
                    html`${i ? ", " : ""}<${Text} of=${token} /> ${count(n)}`) : "none"}</dd>
            </dl>
            <button type="button" onClick=${() => filter({ reason: picked ? undefined : reason.tag })}>
                ${picked ? "List all reasons" : "List only this reason"}</button>
            <h3>Last example</h3>
            ${last ? html`<${RefusalFacts} row=${last} />` : html`<p class="hint">None is kept.</p>`}
        </td></tr>`}`;
}

function Entry({ row, open, onOpen }) {
    return html`<li>
        <button type="button" data-row tabindex="-1" class="row refusal" aria-expanded=${String(open)}
            onClick=${onOpen}>
            <span class="when" title=${day(row.time)}>${clock(row.time)}</span>
            <span class="project"><${Text} of=${row.project ?? "–"} /></span>
            <span class="type">${row.reason}</span>
            <span class="who"><${Text} of=${row.address ?? row.key ?? "–"} /></span>
            <span class="what"><${Text} of=${row.text} /></span>
        </button>
        ${open && html`<div class="unfolded"><${RefusalFacts} row=${row} /></div>`}
    </li>`;
}

const keyOf = (row) => `${row.time} ${row.reason} ${row.request_id ?? ""} ${row.text}`;

export function Refused({ params }) {
    const { project, reason } = params;
    const [every, setEvery] = useState(false);
    const [open, setOpen] = useState(null);
    const now = useNow();
    const status = usePoll((signal) => get("status", {}, signal), 0);
    const reasons = usePoll(async (signal) => {
        const answer = await get("reasons", {}, signal);
        sample(answer.reasons, project);
        return answer.reasons;
    }, PERIOD, project ?? "");
    const list = usePoll((signal) => get("refusals", { project, reason, limit: LISTED }, signal), PERIOD,
        `${project ?? ""} ${reason ?? ""}`);
    useKeys({ Escape: open ? () => setOpen(null) : undefined });

    const severity = new Map((reasons.data ?? []).map((one) => [one.tag, one.severity]));
    // A link to one reason opens the tab that it is in.
    const tab = params.tab ?? severity.get(reason) ?? "refused";
    useEffect(() => {
        if (reason) setOpen((old) => old ?? `reason ${reason}`);
    }, [reason]);

    const of_tab = (reasons.data ?? []).filter((one) => one.severity === tab);
    const sorted = [...of_tab].sort((a, b) => total(b, project) - total(a, project));
    const shown = sorted.filter((one) => every || one.tag === reason || total(one, project) > 0);
    const rows = (list.data?.refusals ?? []).filter((row) => (severity.get(row.reason) ?? "refused") === tab);
    const sum = (name) => (reasons.data ?? []).filter((one) => one.severity === name)
        .reduce((n, one) => n + total(one, project), 0);
    const toggle = (key) => () => setOpen((old) => (old === key ? null : key));
    const seen = new Map();

    return html`
        <form class="filters" onSubmit=${(event) => event.preventDefault()}>
            <${Tabs} label="What became of it" value=${tab}
                of=${TABS.map(([key, text]) =>
                    [key, html`${text} <span class="quiet">${reasons.data ? count(sum(key)) : ""}</span>`])}
                onPick=${(key) => { setOpen(null); filter({ tab: key, reason: undefined }); }} />
            <${Project} value=${project} projects=${status.data?.projects} search
                onPick=${(token) => filter({ project: token || undefined })} />
            <${Field} label="Reason"><select value=${reason ?? ""}
                onChange=${(event) => filter({ reason: event.target.value || undefined, tab })}>
                <option value="">all</option>
                ${of_tab.map(({ tag }) => html`<option key=${tag} value=${tag}>${tag}</option>`)}
            </select></${Field}>
            <label class="check"><input type="checkbox" checked=${every}
                onChange=${(event) => setEvery(event.target.checked)} />
                Reasons that never came, too</label>
        </form>
        <${Trouble} error=${reasons.error ?? list.error} />
        <section class="panel">
            <h2>By reason</h2>
            ${shown.length > 0 ? html`<table class="reasons" data-rows tabindex="0">
                <caption class="away">Counts since the start, by reason</caption>
                <thead><tr><th>Reason</th><th class="n">Count</th><th>While you look</th><th class="wide">Last</th>
                    <th class="wide">Meaning</th></tr></thead>
                <tbody>${shown.map((one) => html`<${Reason} key=${one.tag} reason=${one} project=${project} now=${now}
                    picked=${one.tag === reason} open=${open === `reason ${one.tag}`}
                        onOpen=${toggle(`reason ${one.tag}`)} />`)}
                </tbody>
            </table>` : reasons.data && html`<p class="empty">
                <${Sign} is="ok" /> None since the start. ${EMPTY[tab]}</p>`}
        </section>
        <section class="panel feed list">
            <h2>The newest</h2>
            ${rows.length > 0 ? html`<ol data-rows tabindex="0" aria-label="The newest, first">
                ${rows.map((row) => {
                    const n = (seen.get(keyOf(row)) ?? 0) + 1;
                    seen.set(keyOf(row), n);
                    const key = `${keyOf(row)} ${n}`;
                    return html`<${Entry} key=${key} row=${row} open=${open === key} onOpen=${toggle(key)} />`;
                })}
            </ol>` : list.data && html`<p class="empty">${tab === "refused" ? "None that matches is kept."
                : "None is kept one by one. Above is the last example of each reason."}</p>`}
            ${list.data?.not_kept > 0 && tab === "refused" && html`<p class="hint">Limits refused
                ${" "}${count(list.data.not_kept)} more, which are counted but not kept one by one.</p>`}
        </section>`;
}

