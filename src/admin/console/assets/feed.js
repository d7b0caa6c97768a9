// The feed of events and refusals: reads `text/event-stream`, counts exactly, and hands rows over in small portions.
//
// It is not an EventSource, which hides the status of an answer: a page has to know when to sign in.

import { Failed, address, failure } from "./api.js";
import { parse, print } from "./json.js";

/** Most rows that the page has, and most characters of them. */
const ROWS_MAX = 500;
const CHARACTERS_MAX = 32 << 20;
/** How often rows get to the screen, and how many at once: what comes in a burst must not block the page. */
const PERIOD = 120;
const PORTION = 60;
/** A comment comes every 15 s, so after this the line is dead. */
const SILENCE = 40_000;
/** Longest work before others get their turn. */
const WORK = 12;

const turn = () => new Promise((done) => setTimeout(done));

class Messages {
    rest = "";
    message = { name: "message", id: null, data: "", retry: null };

    /** The messages that end in this part. */
    *of(part) {
        const lines = (this.rest + part).split("\n");
        this.rest = lines.pop();
        for (const ended of lines) {
            const line = ended.endsWith("\r") ? ended.slice(0, -1) : ended;
            if (!line) {
                yield this.message;
                this.message = { name: "message", id: null, data: "", retry: null };
                continue;
            }
            const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
            if (field === "event") this.message.name = value;
            else if (field === "id") this.message.id = value;
            else if (field === "data") this.message.data += this.message.data ? `\n${value}` : value;
            else if (field === "retry") this.message.retry = Number(value) || null;
        }
    }
}

const PREVIEW = 240;

/** What a row shows without being opened. */
function preview(properties) {
    let text = "";
    for (const name of Object.keys(properties ?? {})) {
        if (text.length > PREVIEW) break;
        const value = properties[name];
        const shown = typeof value === "string" ? value.slice(0, PREVIEW) : print(value).slice(0, PREVIEW);
        text += `${text ? "  " : ""}${name.slice(0, 60)}=${shown}`;
    }
    return text.slice(0, PREVIEW);
}

export class Feed {
    rows = [];
    shown = 0;
    passed = { events: 0, refusals: 0 };
    waiting = { events: 0, refusals: 0 };
    since = null;
    paused = false;
    /** "idle", "opening", "open" or "lost". */
    line = "idle";
    trouble = "";
    #query = {};
    #last = null;
    #stopped = null;
    #pending = [];
    #characters = 0;
    #abort = null;
    #timer = 0;
    #listeners = new Set();
    #number = 0;

    subscribe(listener) {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
    }

    #tell() {
        for (const listener of this.#listeners) listener();
    }

    /** Other filters: what matches from the oldest row on comes again. */
    narrow(query) {
        if (JSON.stringify(query) === JSON.stringify(this.#query)) return;
        const oldest = this.rows.at(-1)?.before ?? this.#pending[0]?.before ?? this.#last;
        this.#query = query;
        this.#empty();
        this.#last = oldest;
        if (this.paused) this.#stopped = oldest;
        if (this.#abort) this.#open();
        this.#tell();
    }

    #empty() {
        this.rows = [];
        this.#pending = [];
        this.#characters = 0;
        this.shown = 0;
        this.passed = { events: 0, refusals: 0 };
        this.waiting = { events: 0, refusals: 0 };
        this.since = new Date();
    }

    clear() {
        this.#empty();
        this.#tell();
    }

    start() {
        if (this.#abort) return;
        this.since ??= new Date();
        this.#open();
    }

    stop() {
        this.#abort?.abort();
        this.#abort = null;
        this.line = "idle";
        this.#flushAll();
    }

    pause() {
        if (this.paused) return;
        this.paused = true;
        this.#stopped = this.#last;
        this.waiting = { events: 0, refusals: 0 };
        if (this.#abort) this.#open();
        this.#flushAll();
    }

    resume() {
        if (!this.paused) return;
        this.paused = false;
        // Behind the last row, and not behind the last count: what passed in between comes as rows now.
        this.#last = this.#stopped;
        this.waiting = { events: 0, refusals: 0 };
        if (this.#abort) this.#open();
        this.#tell();
    }

    #open() {
        this.#abort?.abort();
        const abort = new AbortController();
        this.#abort = abort;
        this.line = "opening";
        this.#tell();
        this.#run(abort.signal);
    }

    async #run(signal) {
        let wait = 1000;
        while (!signal.aborted) {
            try {
                const ended = await this.#read(signal);
                wait = ended.retry ?? 1000;
                this.trouble = "The service closed the feed.";
            } catch (error) {
                if (signal.aborted) return;
                const text = error instanceof Failed ? error.message : "The service does not answer";
                this.trouble = /[.!?]$/.test(text) ? text : `${text}.`;
                // Where the feed was left is not known any more, so it begins at the present.
                if ([400, 404, 410].includes(error.status)) this.#last = null;
                if (error.status === 401) wait = 5000;
            }
            if (signal.aborted) return;
            this.line = "lost";
            this.#tell();
            await new Promise((done) => setTimeout(done, wait));
            wait = Math.min(wait * 2, 10_000);
        }
    }

    async #read(signal) {
        // An abort of its own, for a line that is silent for too long.
        const abort = new AbortController();
        const end = () => abort.abort();
        signal.addEventListener("abort", end);
        let silence = setTimeout(end, SILENCE);
        const ended = { retry: null };
        try {
            const query = { ...this.#query, after: this.#last, counts: this.paused ? "true" : undefined };
            const headers = { Accept: "text/event-stream" };
            const response = await fetch(address("feed", query), { cache: "no-store", headers, signal: abort.signal });
            if (!response.ok) throw await failure(response);
            this.line = "open";
            this.#tell();
            const reader = response.body.getReader();
            const decoder = new TextDecoder();
            const messages = new Messages();
            let began = performance.now();
            for (;;) {
                const { done, value } = await reader.read();
                if (done || signal.aborted) return ended;
                clearTimeout(silence);
                silence = setTimeout(end, SILENCE);
                for (const message of messages.of(decoder.decode(value, { stream: true }))) {
                    if (signal.aborted) return ended;
                    if (message.retry) ended.retry = message.retry;
                    this.#take(message);
                    if (performance.now() - began > WORK) {
                        await turn();
                        began = performance.now();
                    }
                }
            }
        } finally {
            clearTimeout(silence);
            signal.removeEventListener("abort", end);
            end();
        }
    }

    #take({ name, id, data }) {
        const before = this.#last;
        if (id !== null) this.#last = id;
        if (name === "ready" && this.paused) this.#stopped ??= id;
        if (name === "passed") {
            const { events = 0, refusals = 0 } = JSON.parse(data);
            const counts = this.paused ? this.waiting : this.passed;
            counts.events += events;
            counts.refusals += refusals;
            this.#soon();
        } else if (name === "event" || name === "refusal") {
            this.#number += 1;
            const row = { key: this.#number, kind: name, before, size: data.length, ...parse(data) };
            if (name === "event") row.preview = preview(row.properties);
            this.#pending.push(row);
            this.#soon();
        }
    }

    #soon() {
        this.#timer ||= setTimeout(() => {
            this.#timer = 0;
            this.#flush(PORTION);
            if (this.#pending.length) this.#soon();
        }, PERIOD);
    }

    #flushAll() {
        this.#flush(Infinity);
    }

    #flush(most) {
        const portion = this.#pending.splice(0, most);
        this.shown += portion.length;
        for (const row of portion) this.#characters += row.size;
        this.rows = [...portion.reverse(), ...this.rows];
        while (this.rows.length > ROWS_MAX || (this.#characters > CHARACTERS_MAX && this.rows.length > 1)) {
            this.#characters -= this.rows.pop().size;
        }
        this.#tell();
    }
}
