// JSON that keeps how numbers are written. JSON.parse would round integers above 2^53, and the service keeps them.

/** A number that JavaScript would print in another way than it came. */
export class Num {
    constructor(source) {
        this.source = source;
    }
    toString() {
        return this.source;
    }
}

const SPACE = /[ \t\n\r]*/y;
const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"/y;
const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/y;
const WORD = /true|false|null/y;

/** Objects have no prototype, so that a name such as `__proto__` is a name like any other. */
export function parse(text) {
    let at = 0;
    const match = (pattern) => {
        pattern.lastIndex = at;
        const found = pattern.exec(text);
        if (!found) throw new SyntaxError(`no JSON at ${at}`);
        at = pattern.lastIndex;
        return found[0];
    };
    const next = () => {
        match(SPACE);
        return text[at];
    };
    const skip = (char) => {
        if (next() !== char) throw new SyntaxError(`no ${char} at ${at}`);
        at += 1;
    };
    const members = (end, read) => {
        at += 1;
        if (next() === end) {
            at += 1;
            return;
        }
        for (;;) {
            read();
            if (next() === end) {
                at += 1;
                return;
            }
            skip(",");
        }
    };
    const value = () => {
        const char = next();
        if (char === "{") {
            const object = Object.create(null);
            members("}", () => {
                next();
                const name = JSON.parse(match(STRING));
                skip(":");
                object[name] = value();
            });
            return object;
        }
        if (char === "[") {
            const list = [];
            members("]", () => list.push(value()));
            return list;
        }
        if (char === '"') return JSON.parse(match(STRING));
        if (char === "t" || char === "f" || char === "n") return JSON.parse(match(WORD));
        const source = match(NUMBER);
        const number = Number(source);
        return String(number) === source ? number : new Num(source);
    };
    const read = value();
    if (next() !== undefined) throw new SyntaxError(`more after the value at ${at}`);
    return read;
}

// What shows nothing by itself, or changes the order of what surrounds it: controls, bidi controls, spaces without
// width, tags, halves of surrogate pairs.
const UNSEEN =
    "[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff" +
    "\\ufff9-\\ufffb\\ud800-\\udfff\\u{e0000}-\\u{e007f}]";
export const unseen = () => new RegExp(UNSEEN, "gu");

const escaped = (char) =>
    Array.from({ length: char.length }, (_, i) => `\\u${char.charCodeAt(i).toString(16).padStart(4, "0")}`).join("");

/** A string as JSON, with everything that cannot be seen as an escape. */
export const quoted = (text) => JSON.stringify(text).replace(unseen(), escaped);

/** The pieces of a value as indented JSON: pairs of a kind and a text. */
export function* pieces(value, indent = "") {
    const inner = `${indent}  `;
    if (Array.isArray(value)) {
        if (!value.length) return yield ["mark", "[]"];
        yield ["mark", "[\n"];
        for (let i = 0; i < value.length; i += 1) {
            yield ["mark", inner];
            yield* pieces(value[i], inner);
            yield ["mark", i + 1 < value.length ? ",\n" : "\n"];
        }
        yield ["mark", `${indent}]`];
    } else if (value instanceof Num || typeof value === "number") {
        yield ["number", String(value)];
    } else if (value !== null && typeof value === "object") {
        const names = Object.keys(value);
        if (!names.length) return yield ["mark", "{}"];
        yield ["mark", "{\n"];
        for (let i = 0; i < names.length; i += 1) {
            yield ["mark", inner];
            yield ["name", quoted(names[i])];
            yield ["mark", ": "];
            yield* pieces(value[names[i]], inner);
            yield ["mark", i + 1 < names.length ? ",\n" : "\n"];
        }
        yield ["mark", `${indent}}`];
    } else if (typeof value === "string") {
        yield ["string", quoted(value)];
    } else {
        yield ["word", String(value)];
    }
}

/** A value as JSON on one line. */
export function print(value) {
    if (Array.isArray(value)) return `[${value.map(print).join(",")}]`;
    if (value instanceof Num || typeof value === "number") return String(value);
    if (value !== null && typeof value === "object") {
        return `{${Object.keys(value).map((name) => `${quoted(name)}:${print(value[name])}`).join(",")}}`;
    }
    return typeof value === "string" ? quoted(value) : String(value);
}

/** A value as indented JSON. */
export function indented(value) {
    let text = "";
    for (const [, piece] of pieces(value)) text += piece;
    return text;
}
