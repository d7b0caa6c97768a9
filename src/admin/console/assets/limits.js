// Who is refused, and what is left to whom.

import { html, useRef } from "./vendor/htm-preact.js";
import { get } from "./api.js";
import { ago, count, moment, number, span } from "./format.js";
import { Sign, Text, Trouble } from "./parts.js";
import { useNow, usePoll } from "./poll.js";
import { link } from "./router.js";

const PERIOD = 2000;
const ROWS = 100;
/** What quotas and shares refuse. */
const REASONS = ["rate_limit_exceeded", "requests_in_flight", "streams_open", "reads_in_flight", "body_memory"];

const total = (refused) =>
    typeof refused === "number" ? refused : Object.values(refused ?? {}).reduce((sum, n) => sum + n, 0);

/** Pairs of a name and a number as an object, summed up. */
function sums(pairs) {
    const by = new Map();
    for (const [name, n] of pairs) by.set(name, (by.get(name) ?? 0) + n);
    return by;
}

/** How many a second came for each name since the look before. */
function useRates(counts, at) {
    const before = useRef({ counts: new Map(), at: 0 });
    const rates = useRef(new Map());
    if (at && at !== before.current.at) {
        const seconds = (at - before.current.at) / 1000;
        const known = before.current.at > 0;
        rates.current = new Map([...counts].map(([name, n]) =>
            [name, known ? Math.max(0, n - (before.current.counts.get(name) ?? 0)) / seconds : 0]));
        before.current = { counts, at };
    }
    return rates.current;
}

/** Of an address that was not counted from the beginning, the number lies between two. */
const atLeast = ({ refused_min, refused }) =>
    typeof refused_min === "number" && refused_min < refused ? `${count(refused_min)} to ` : "";

function Now({ rate }) {
    return rate > 0 ? html`<${Sign} is="bad" /> ${number(rate)}/s` : html`<span class="quiet">none</span>`;
}

function Table({ title, of, rates, head, empty, children, note }) {
    return html`<section class="panel"><h2>${title}</h2>
        ${of.length ? html`<table data-rows tabindex="0"><caption class="away">${title}</caption>
            <thead><tr>${head}</tr></thead><tbody>${of.slice(0, ROWS).map(children)}</tbody></table>`
            : html`<p class="empty"><${Sign} is="ok" /> ${empty}</p>`}
        ${note && html`<p class="hint">${note}</p>`}
    </section>`;
}

function Left({ left, of }) {
    if (typeof left !== "number" || !of) return html`<span class="quiet">not used yet</span>`;
    const share = Math.max(0, Math.min(1, left / of));
    const sign = share <= 0 ? "bad" : share < 0.1 ? "warn" : "ok";
    return html`<span class="left"><svg class=${`gauge ${sign}`} viewBox="0 0 100 6" preserveAspectRatio="none"
        aria-hidden="true">
        <rect width="100" height="6" class="all" /><rect width=${share * 100} height="6" class="part" /></svg>
        <span><${Sign} is=${sign} /> ${count(Math.floor(left))} <span
            class="quiet">(${number(share * 100)} %)</span></span></span>`;
}

export function Limits() {
    const now = useNow();
    const limits = usePoll((signal) => get("limits", {}, signal), PERIOD);
    const reasons = usePoll((signal) => get("reasons", {}, signal), PERIOD);
    const of_quotas = { reason: "rate_limit_exceeded", limit: 500 };
    const newest = usePoll((signal) => get("refusals", of_quotas, signal), PERIOD * 2);
    const { data } = limits;

    const addresses = data?.addresses ?? [];
    const by_address = sums(addresses.map((one) => [one.address, one.refused]));
    const limited = (reasons.data?.reasons ?? []).filter((one) => REASONS.includes(one.tag));
    const by_project = sums(limited.flatMap((one) => Object.entries(one.counts ?? {}))
        .filter(([, n]) => n > 0));
    const kept = newest.data?.refusals ?? [];
    const by_key = sums(kept.filter((one) => one.key).map((one) => [JSON.stringify([one.project, one.key]), 1]));
    const address_rates = useRates(by_address, limits.at);
    const project_rates = useRates(by_project, reasons.at);
    const most = (by) => [...by].sort((a, b) => b[1] - a[1]);
    // Who is refused now comes first, then who was refused most.
    const sorted = [...addresses].sort((a, b) =>
        (address_rates.get(b.address) ?? 0) - (address_rates.get(a.address) ?? 0) || b.refused - a.refused);

    return html`
        <${Trouble} error=${limits.error ?? reasons.error ?? newest.error} />
        ${data && html`<p class=${`sentence ${data.shadow ? "warn" : "ok"}`}>
            <${Sign} is=${data.shadow ? "warn" : "ok"} />
            <span>${data.shadow
                ? html`Shadow mode is on: calls beyond a quota are counted and let pass. Set${" "}
                    <code>rate_limit.shadow = false</code> to refuse them.`
                : "Calls beyond a quota are refused. Shadow mode is off."}${" "}
                ${count(total(data.refused))} were ${data.shadow ? "counted" : "refused"}${" "}
                since ${moment(data.since).slice(0, 19)}.</span></p>`}
        <${Table} title="Refused by address" of=${sorted} empty="No address is refused."
            note=${data?.unlisted_max > 0
                ? `An address that is not listed was refused ${count(data.unlisted_max)} times at most.` : ""}
            head=${html`<th>Address</th><th>Now</th><th class="n">Refused</th><th class="wide">First</th>
                <th>Last</th>`}>
            ${(one) => html`<tr key=${one.address}>
                <th scope="row"><span data-row tabindex="-1"><${Text} of=${one.address} /></span></th>
                <td><${Now} rate=${address_rates.get(one.address)} /></td>
                <td class="n">${atLeast(one)}${count(one.refused)}</td>
                <td class="wide">${ago(one.first, now)}</td><td>${ago(one.last, now)}</td></tr>`}
        </${Table}>
        <div class="pair even">
            <${Table} title="Refused by project" of=${most(by_project)} empty="No project is refused."
                head=${html`<th>Project</th><th>Now</th><th class="n">Refused</th>`}>
                ${([token, n]) => html`<tr key=${token}>
                    <th scope="row"><a data-row tabindex="-1"
                        href=${link("refused", token === "other" ? {} : { project: token })}><${Text}
                            of=${token} /></a></th>
                    <td><${Now} rate=${project_rates.get(token)} /></td><td class="n">${count(n)}</td></tr>`}
            </${Table}>
            <${Table} title="Refused by key" of=${most(by_key)} empty="No refusal of a key is kept."
                note=${kept.length
                    ? `Of the newest ${count(kept.length)} refusals that are kept: one a second and address.` : ""}
                head=${html`<th>Key</th><th>Project</th><th class="n">Kept</th>`}>
                ${([pair, n]) => {
                    const [project, key] = JSON.parse(pair);
                    return html`<tr key=${pair}><th scope="row"><span data-row tabindex="-1"><${Text}
                        of=${key} /></span></th>
                        <td><${Text} of=${project ?? "–"} /></td><td class="n">${count(n)}</td></tr>`;
                }}
            </${Table}>
        </div>
        <${Table} title="What is left" of=${data?.projects ?? []} empty="No project has a quota."
            head=${html`<th>Project</th><th>Key</th><th class="n">Quota</th><th>Left</th>`}>
            ${(one) => html`<tr key=${`${one.token} ${one.key}`}>
                <th scope="row"><span data-row tabindex="-1"><${Text} of=${one.token} /></span></th>
                <td>${one.key ? html`<${Text} of=${one.key} />` : html`<span class="quiet">all keys</span>`}</td>
                <td class="n">${count(one.requests)} in ${span(one.window_seconds)}</td>
                <td><${Left} left=${one.left} of=${one.requests} /></td></tr>`}
        </${Table}>
        <${Table} title="Quotas" of=${data?.quotas ?? []} empty="No quota is set."
            head=${html`<th>Of each</th><th class="n">Calls</th><th class="n">In</th><th class="n">At once</th>`}>
            ${(one) => html`<tr key=${one.name}><th scope="row"><span data-row tabindex="-1">${one.name}</span></th>
                <td class="n">${count(one.requests)}</td><td class="n">${span(one.window_seconds)}</td>
                <td class="n">${count(one.burst)}</td></tr>`}
        </${Table}>`;
}
