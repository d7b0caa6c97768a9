// The process itself: parts, build, settings, certificates.

import { html } from "./vendor/htm-preact.js";
import { get } from "./api.js";
import { moment, span } from "./format.js";
import { Sentence } from "./overview.js";
import { Field, Sign, Text, Trouble } from "./parts.js";
import { useNow, usePoll } from "./poll.js";
import { filter } from "./router.js";

const SOON = 30 * 86_400;

function Certificate({ one, now }) {
    const left = (Date.parse(one.not_after) - now) / 1000;
    const sign = left <= 0 ? "bad" : left < SOON ? "warn" : "ok";
    return html`<tr><th scope="row"><span data-row tabindex="-1"><${Text} of=${one.listener} /></span></th>
        <td><${Sign} is=${sign} /> ${left > 0 ? `in ${span(left)}` : `${span(-left)} ago`}</td>
        <td class="wide">${moment(one.not_after)}</td></tr>`;
}

export function Service({ params }) {
    const now = useNow();
    const status = usePoll((signal) => get("status", {}, signal), 2000);
    const settings = usePoll((signal) => get("settings", {}, signal), 0);
    const { data } = status;
    const wanted = (params.q ?? "").toLowerCase();
    const all = settings.data?.settings ?? [];
    const matching = all.filter((one) => `${one.key} ${one.value} ${one.source}`.toLowerCase().includes(wanted)
        && (!params.changed || one.source !== "default"));
    return html`
        <${Sentence} status=${data} error=${status.error} />
        <div class="pair even">
            <section class="panel"><h2>Parts</h2>
                <table data-rows tabindex="0"><caption class="away">Parts of health</caption>
                    <thead><tr><th>Part</th><th>State</th><th>In words</th></tr></thead>
                    <tbody>${(data?.parts ?? []).map((part) => html`<tr key=${part.name}>
                        <th scope="row"><span data-row tabindex="-1">${part.name}</span></th>
                        <td><${Sign} is=${part.ok ? "ok" : "bad"} /> ${part.ok ? "well" : "not well"}</td>
                        <td><${Text} of=${part.text} /></td></tr>`)}</tbody>
                </table>
            </section>
            <section class="panel"><h2>Process</h2>
                <dl class="facts">
                    <dt>Build</dt><dd>${data ? `${data.name} ${data.version}` : "–"}</dd>
                    <dt>Started</dt><dd>${moment(data?.started)} <span class="quiet">${data && `runs for ${span(
                        Math.floor((Date.parse(data.now) - Date.parse(data.started)) / 1000))}`}</span></dd>
                    <dt>Calls</dt><dd><${Text} of=${data?.calls?.url ?? "–"} /></dd>
                </dl>
                <h3>Certificates</h3>
                ${data?.certificates?.length ? html`<table data-rows tabindex="0"><caption
                    class="away">Ends of certificates</caption>
                    <thead><tr><th>Listener</th><th>Ends</th><th class="wide">At</th></tr></thead>
                    <tbody>${data.certificates.map((one) => html`<${Certificate} key=${one.listener} one=${one}
                        now=${now} />`)}</tbody>
                </table>` : html`<p class="empty">No listener has a certificate: calls come without TLS.</p>`}
            </section>
        </div>
        <section class="panel">
            <header class="bar"><h2>Settings in force</h2>
                <form class="filters" onSubmit=${(event) => event.preventDefault()}>
                    <${Field} label="Contains"><input type="search" data-search value=${params.q ?? ""}
                        onInput=${(event) => filter({ q: event.target.value || undefined })} /></${Field}>
                    <label class="check"><input type="checkbox" checked=${Boolean(params.changed)}
                        onChange=${(event) => filter({ changed: event.target.checked ? "1" : undefined })} />
                        ${" "}Not the default</label>
                </form>
            </header>
            <${Trouble} error=${settings.error} />
            ${matching.length ? html`<table data-rows tabindex="0"><caption
                class="away">Settings with their source</caption>
                <thead><tr><th>Setting</th><th>Value</th><th class="wide">Source</th></tr></thead>
                <tbody>${matching.slice(0, 500).map((one) => html`<tr key=${one.key}>
                    <th scope="row"><span data-row tabindex="-1"><code><${Text} of=${one.key} /></code></span></th>
                    <td class="value"><code><${Text} of=${one.value} /></code></td>
                    <td class="wide"><span class=${one.source === "default" ? "quiet" : ""}>
                        <${Text} of=${one.source} /></span></td>
                </tr>`)}</tbody>
            </table>` : settings.data && html`<p class="empty">No setting matches.</p>`}
        </section>`;
}
