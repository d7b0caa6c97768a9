// The series of the last hour. Asked for whole once, and then only what has come since.

import { get } from "./api.js";

const HOUR = 3600;
let kept = null;

const whole = (answer) => {
    const step = answer.step_seconds || 1;
    const most = Math.max(0, ...answer.series.map(({ values }) => values.length));
    const end = Math.round(Date.parse(answer.end) / 1000 / step) * step;
    const times = Array.from({ length: most }, (_, i) => end - (most - 1 - i) * step);
    const padded = ({ values }) => [...new Array(most - values.length).fill(null), ...values];
    return { end, step, times, series: new Map(answer.series.map((one) => [one.name, padded(one)])) };
};

/** `end`, `times` in Unix seconds, and a list of values by name. */
export async function history(signal) {
    const since = kept ? Math.ceil(Date.now() / 1000 - kept.asked) + 10 : HOUR;
    const asked = Date.now() / 1000;
    const part = whole(await get("history", { seconds: Math.min(HOUR, since) }, signal));
    const new_steps = kept ? (part.end - kept.end) / part.step : HOUR;
    const joins = kept && part.step === kept.step && new_steps >= 0 && new_steps < part.times.length;
    const same = joins && [...part.series.keys()].every((name) => kept.series.has(name));
    if (!same) {
        if (since < HOUR) {
            kept = null;
            return history(signal);
        }
        kept = { ...part, asked };
        return kept;
    }
    // The last steps may have been unfinished when they were asked for, so they are taken again.
    const overlap = part.times.length - new_steps;
    const join = (old, late) => [...old.slice(0, old.length - overlap), ...late].slice(-HOUR);
    const series = new Map([...part.series].map(([name, late]) => [name, join(kept.series.get(name), late)]));
    kept = { end: part.end, step: part.step, times: join(kept.times, part.times), series, asked };
    return kept;
}
