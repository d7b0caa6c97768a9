// What goes on, and whether that is well.

import { html } from "./vendor/htm-preact.js";
import { get } from "./api.js";
import { Chart } from "./chart.js";
import { ago, bytes, count, millis, moment, number, plural, span } from "./format.js";
import { history } from "./history.js";
import { FirstEvent, Sign, Tabs, Text, Trouble } from "./parts.js";
import { usePoll, useNow } from "./poll.js";
import { filter, link } from "./router.js";

const STATES = {
    serving: ["ok", "The service takes calls"],
    starting: ["warn", "The service is starting"],
    draining: ["warn", "The service is about to stop, and sends callers elsewhere"],
    impaired: ["bad", "The service is impaired"],
};

/** State and reason in one sentence. */
export function Sentence({ status, error }) {
    if (error?.status === 0) {
        return html`<p class="sentence bad"><${Sign} is="bad" /> <span>The service does not answer. What follows is
            from before.</span></p>`;
    }
    if (!status) return html`<p class="sentence"><span>Asking the service…</span></p>`;
    const bad = (status.parts ?? []).filter((part) => !part.ok);
    let [sign, words] = STATES[status.state] ?? ["warn", `The service is ${status.state}`];
    let why = status.why ?? bad.map((part) => `${part.name}: ${part.text}`).join("; ");
    if (sign === "ok" && bad.length) sign = "warn";
    if (!why && sign === "ok") why = "every part is well";
    return html`<p class=${`sentence ${sign}`}><${Sign} is=${sign} />
        <span>${words}${why ? html`: <${Text} of=${why} />` : ""}.</span></p>`;
}

function Tile({ label, value, note, sign }) {
    return html`<div class="tile">
        <dt>${label}</dt>
        <dd><strong>${value}</strong>${note && html`<span>${sign && html`<${Sign} is=${sign} /> `}${note}</span>`}</dd>
    </div>`;
}

function Tiles({ status }) {
    const { rates = {}, log = {}, view = {} } = status ?? {};
    const soon = typeof log.full_in_seconds === "number" && log.full_in_seconds < 86_400 * 3;
    const late = view.lag_seconds > 5;
    const fills = typeof log.full_in_seconds === "number";
    const full = fills ? `full in ${span(log.full_in_seconds)}` : "not growing";
    return html`<dl class="tiles">
        <${Tile} label="Accepted a second" value=${number(rates.accepted)} note="mean of 10 s" />
        <${Tile} label="Refused a second" value=${number(rates.refused)} note="mean of 10 s" />
        <${Tile} label="Half of calls within" value=${millis(rates.p50_ms)} note="p50 of 10 s" />
        <${Tile} label="99 % of calls within" value=${millis(rates.p99_ms)} note="p99 of 10 s" />
        <${Tile} label="View behind the log" value=${span(view.lag_seconds)} sign=${late && "warn"}
            note=${typeof view.lag_records === "number" ? plural(view.lag_records, "record") : ""} />
        <${Tile} label="Log" value=${bytes(log.bytes)} note=${`position ${count(log.position)}`} />
        <${Tile} label="Disk left" value=${bytes(log.disk_free_bytes)} sign=${soon && "warn"}
            note=${log.disk_free_bytes == null ? "" : full} />
    </dl>`;
}

// What a point of a chart says of the steps that it covers. A peak must not vanish among its neighbours.
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const highest = (values) => Math.max(...values);

const CHARTS = [
    ["Calls a second", [["accepted", "accepted"], ["refused", "refused"]], number, mean],
    ["Time of a call", [["p50_ms", "p50"], ["p99_ms", "p99"]], millis, highest],
    ["View behind the log", [["view_lag_records", "records"]], number, highest],
    ["In flight", [["in_flight", "calls"], ["streams", "streams"], ["watches", "watches"]], number, highest],
    ["Memory", [["memory_bytes", "process"], ["body_memory_bytes", "bodies"]], bytes, highest],
    ["Log", [["log_bytes", "on disk"]], bytes, highest],
];
const RANGES = [["300", "5 min"], ["900", "15 min"], ["3600", "1 hour"]];

/** About as many points as a chart can show. */
const POINTS = 360;

function joined(values, size, join) {
    const points = [];
    for (let end = values.length; end > 0; end -= size) {
        const part = values.slice(Math.max(0, end - size), end).filter((value) => typeof value === "number");
        points.push(part.length ? join(part) : null);
    }
    return points.reverse();
}

function Charts({ kept, range }) {
    if (!kept) return null;
    const steps = Math.ceil(range / kept.step);
    const size = Math.max(1, Math.round(steps / POINTS));
    const times = joined(kept.times.slice(-steps), size, highest);
    return html`<div class="charts">
        ${CHARTS.map(([title, lines, format, join]) => {
            const there = lines.filter(([name]) => kept.series.has(name));
            if (!there.length) return null;
            const values = there.map(([name]) => joined(kept.series.get(name).slice(-steps), size, join));
            return html`<${Chart} key=${title} title=${title} lines=${there} times=${times} values=${values}
                format=${format} />`;
        })}
    </div>`;
}

export function Overview({ params }) {
    const status = usePoll((signal) => get("status", {}, signal), 2000);
    const past = usePoll((signal) => history(signal), 5000);
    const now = useNow();
    const range = RANGES.some(([key]) => key === params.range) ? params.range : "3600";
    const { data } = status;
    const first = data && data.log?.position === 0;
    return html`
        <${Sentence} status=${data} error=${status.error} />
        ${status.error?.status !== 0 && html`<${Trouble} error=${status.error} />`}
        <${Tiles} status=${data} />
        ${first && html`<section class="panel teach">
            <h2>No event has come yet</h2>
            <p>Paste this into a terminal. The event is on <a href=${link("live")}>Live</a> within a second.</p>
            <${FirstEvent} status=${data} />
        </section>`}
        <section>
            <header class="bar"><h2>History</h2>
                <${Tabs} label="Range of the charts" of=${RANGES} value=${range}
                    onPick=${(key) => filter({ range: key === "3600" ? undefined : key })} />
            </header>
            <${Trouble} error=${past.error} />
            <${Charts} kept=${past.data} range=${Number(range)} />
        </section>
        <section class="panel">
            <h2>Projects</h2>
            <table data-rows tabindex="0">
                <caption class="away">The last event of each project</caption>
                <thead><tr><th>Project</th><th>Last event</th><th class="wide">At</th><th
                    class="n">Behind</th></tr></thead>
                <tbody>
                    ${(data?.projects ?? []).map((project) => html`<tr key=${project.token}>
                        <td><a data-row tabindex="-1" href=${link("live", { project: project.token })}>
                            <${Text} of=${project.token} /></a></td>
                        <td>${project.last_event ? ago(project.last_event, Date.parse(data.now) + (now - status.at))
                            : "none since the start"}</td>
                        <td class="wide">${moment(project.last_event)}</td>
                        <td class="n">${span(project.lag_seconds)}</td>
                    </tr>`)}
                </tbody>
            </table>
        </section>`;
}
