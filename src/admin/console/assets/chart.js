// Charts of time, with one cursor for all of them.

import { html, useEffect, useRef } from "./vendor/htm-preact.js";
import { bytes as sizes } from "./format.js";
import uPlot from "./vendor/uplot.js";

const SYNC = "footfall";
const HEIGHT = 132;
const DASHES = [[], [5, 4], [1, 3]];

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const utc = (seconds) => new Date(seconds * 1000).toISOString();

/** Steps of a scale of bytes: those of other scales would give odd sizes. */
const POWERS = Array.from({ length: 60 }, (_, i) => 2 ** i);

function options({ lines, format, width, onCursor }) {
    const axis = { stroke: () => color("--quiet"), ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const grid = { stroke: () => color("--line"), width: 1 };
    return {
        width,
        height: HEIGHT,
        padding: [8, 4, 0, 0],
        legend: { show: false },
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        cursor: {
            sync: { key: SYNC },
            y: false,
            drag: { x: false, y: false },
            points: { size: 6, width: 0, fill: (_, i) => color(`--line-${i}`) },
        },
        scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.08 : 1] } },
        axes: [
            { ...axis, grid, space: 70, size: 24, values: (_, ticks) => ticks.map((tick) => utc(tick).slice(11, 16)) },
            {
                ...axis,
                grid,
                space: 32,
                size: 62,
                ...(format === sizes ? { incrs: POWERS } : {}),
                values: (_, ticks) => ticks.map(format),
            },
        ],
        series: [
            {},
            ...lines.map((_, i) => ({
                stroke: () => color(`--line-${i + 1}`),
                width: 1.5,
                dash: DASHES[i],
                points: { show: false },
            })),
        ],
        hooks: { setCursor: [onCursor] },
    };
}

/** `lines` are names with labels, `times` and `values` what is known of them, the oldest first. */
export function Chart({ title, lines, times, values, format }) {
    const box = useRef();
    const plot = useRef();
    const legend = useRef();
    const now = useRef();
    now.current = { times, values, format };

    // Written past the renderer: a cursor moves more often than a page should be rendered.
    const tell = (index) => {
        const { times, values, format } = now.current;
        const at = index ?? times.length - 1;
        const cells = legend.current?.querySelectorAll("b") ?? [];
        lines.forEach((_, i) => {
            const value = values[i]?.[at];
            if (cells[i]) cells[i].textContent = value === null || value === undefined ? "–" : format(value);
        });
        const moment = legend.current?.querySelector("time");
        if (moment) moment.textContent = index === null || !times.length ? "now" : `${utc(times[at]).slice(11, 19)}`;
    };

    useEffect(() => {
        const onCursor = (u) => tell(u.cursor.idx ?? null);
        const width = box.current.clientWidth;
        plot.current = new uPlot(options({ lines, format, width, onCursor }), [times, ...values], box.current);
        const seen = new ResizeObserver(() => {
            plot.current.setSize({ width: box.current.clientWidth, height: HEIGHT });
        });
        seen.observe(box.current);
        const redraw = () => plot.current.redraw(false, true);
        const dark = matchMedia("(prefers-color-scheme: dark)");
        dark.addEventListener("change", redraw);
        addEventListener("footfall-theme", redraw);
        return () => {
            seen.disconnect();
            dark.removeEventListener("change", redraw);
            removeEventListener("footfall-theme", redraw);
            plot.current.destroy();
        };
    }, []);

    useEffect(() => {
        plot.current.setData([times, ...values]);
        tell(plot.current.cursor.idx ?? null);
    }, [times, values]);

    const key = (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!step || !times.length) return;
        event.preventDefault();
        const u = plot.current;
        const last = times.length - 1;
        const to = (u.cursor.idx ?? last) + step * (event.shiftKey ? 30 : 1);
        const at = Math.max(0, Math.min(last, to));
        u.setCursor({ left: u.valToPos(times[at], "x"), top: 10 }, true, true);
    };
    const leave = () => plot.current.setCursor({ left: -10, top: -10 }, true, true);

    const highest = values.map((one) => one.reduce((most, value) => (value > most ? value : most), 0));
    const words = lines.map(([, label], i) => `${label}: highest ${format(highest[i])}`).join(", ");
    return html`<figure class="chart">
        <figcaption ref=${legend}>
            <span class="title">${title}</span>
            ${lines.map(([name, label], i) => html`<span key=${name}>
                <svg class=${`key line-${i + 1}`} viewBox="0 0 18 4" aria-hidden="true">
                    <line x1="0" x2="18" y1="2" y2="2" /></svg>
                ${label} <b>–</b>
            </span>`)}
            <time>now</time>
        </figcaption>
        <div class="plot" ref=${box} tabindex="0" role="img" onKeyDown=${key} onBlur=${leave}
            aria-label=${`${title} over time. ${words}. Arrow keys move the cursor.`}></div>
    </figure>`;
}
