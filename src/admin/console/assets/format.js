// Numbers, sizes and times as people read them. Times are in UTC, as in the service's log.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const two = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

const NONE = "–";
const known = (value) => typeof value === "number" && Number.isFinite(value);

export const count = (value) => (known(value) ? whole.format(value) : NONE);

/** Three digits or so: more would only flicker. */
export function number(value) {
    if (!known(value)) return NONE;
    const size = Math.abs(value);
    return (size >= 100 ? whole : size >= 10 ? one : two).format(value);
}

export const millis = (value) => (known(value) ? `${number(value)} ms` : NONE);

export function bytes(value) {
    if (!known(value)) return NONE;
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let unit = 0;
    let size = value;
    while (Math.abs(size) >= 1024 && unit < units.length - 1) {
        size /= 1024;
        unit += 1;
    }
    return `${number(size)} ${units[unit]}`;
}

/** A span of time, in its two largest units at most. */
export function span(seconds) {
    if (!known(seconds)) return NONE;
    if (seconds < 1) return seconds > 0 ? `${number(seconds * 1000)} ms` : "0 s";
    if (seconds < 60) return `${number(seconds)} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return pair(minutes, "min", Math.floor(seconds % 60), "s");
    const hours = Math.floor(minutes / 60);
    if (hours < 48) return pair(hours, "h", minutes % 60, "min");
    const days = Math.floor(hours / 24);
    if (days < 730) return `${count(days)} days`;
    return days < 3650 ? `${one.format(days / 365)} years` : "more than 10 years";
}

const pair = (large, unit, small, part) => (small ? `${large} ${unit} ${small} ${part}` : `${large} ${unit}`);

export function ago(time, now) {
    if (!time) return NONE;
    const seconds = (now - Date.parse(time)) / 1000;
    if (seconds < -1) return `in ${span(-seconds)}`;
    return seconds < 1 ? "now" : `${span(Math.floor(seconds))} ago`;
}

/** "2026-12-01 03:30:48.123456" of an RFC 3339 time: as exact as it came. */
export const moment = (time) => (time ? time.replace("T", " ").replace(/Z$|\+00:00$/, "") : NONE);
export const day = (time) => (time ? time.slice(0, 10) : NONE);

/** The time of day, to the millisecond. */
export function clock(time) {
    if (!time) return NONE;
    const part = (/\.(\d+)/.exec(time)?.[1] ?? "").slice(0, 3).padEnd(3, "0");
    return `${time.slice(11, 19)}.${part}`;
}

/** A time as text that sorts: fractions come with as few digits as they need. */
export const sortable = (time) => time.slice(0, 19) + (/\.(\d+)/.exec(time)?.[1] ?? "").padEnd(9, "0");

/** Unix seconds with as many digits as the time has, as text: a float would lose some. */
export function unixSeconds(time) {
    const [, head, part = "", zone] = /^(.*?)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(time);
    const digits = part.replace(/\.?0+$/, "");
    const seconds = Date.parse(head + zone) / 1000;
    return `${seconds}${digits}`;
}

export const plural = (n, singular, several = `${singular}s`) => `${count(n)} ${n === 1 ? singular : several}`;
