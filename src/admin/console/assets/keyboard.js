// Everything by keyboard: screens, rows, filters, and what a screen adds.

import { useEffect } from "./vendor/htm-preact.js";
import { go } from "./router.js";
import { SCREENS } from "./screens.js";

const STORED = "footfall-keys";
/** How long the second key of `g o` may take. */
const PAIR = 1500;

const own = new Map();
let leading = 0;
let place = 0;

/** Single keys may be in the way of speech input, so they can be turned off. */
export const keys = {
    get on() {
        try {
            return localStorage.getItem(STORED) !== "off";
        } catch {
            return true;
        }
    },
    set on(on) {
        try {
            localStorage.setItem(STORED, on ? "on" : "off");
        } catch {
            // Then it holds for this page only, which is not worth a word.
        }
    },
};

/** Keys of a component, as long as it is there: names of keys with what they do. */
export function useKeys(handlers) {
    useEffect(() => {
        const entry = Symbol();
        own.set(entry, handlers);
        return () => own.delete(entry);
    });
}

const rows = () => [...document.querySelectorAll("main [data-row]")];

export function moveRow(step) {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(document.activeElement);
    // A row that has left the page leaves its place to the one that is there now.
    if (at >= 0) place = at + step;
    else if (document.activeElement?.closest("[data-rows]") || place >= all.length) place = 0;
    place = Math.max(0, Math.min(place, all.length - 1));
    all[place].focus();
    all[place].scrollIntoView({ block: "nearest" });
}

export const forgetRow = () => {
    place = 0;
};

const editable = (element) => {
    if (element.matches("textarea, select, [contenteditable]")) return true;
    return element.matches("input") && !["checkbox", "radio", "button", "submit"].includes(element.type);
};

function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const { target, key } = event;
    if (document.querySelector("dialog[open]")) return;
    const handle = (what) => {
        event.preventDefault();
        what();
    };
    if (target instanceof Element && editable(target)) {
        if (key === "Escape") target.blur();
        // Letters pick an option of a list, these two do not.
        if (!target.matches("select") || !"/?".includes(key)) return;
    }
    const handlers = [...own.values()].reverse();
    const own_of = (name) => handlers.find((one) => one[name])?.[name];
    if (key === "Escape" && own_of(key)) return handle(own_of(key));
    if ((key === "ArrowDown" || key === "ArrowUp") && target instanceof Element && target.closest("[data-rows]")) {
        return handle(() => moveRow(key === "ArrowDown" ? 1 : -1));
    }
    if (!keys.on) return;
    if (Date.now() - leading < PAIR) {
        leading = 0;
        const screen = SCREENS.find((one) => one.letter === key.toLowerCase());
        if (screen) return handle(() => go(screen.name));
    }
    if (key === "g") {
        leading = Date.now();
        return;
    }
    if (key === "j" || key === "k") return handle(() => moveRow(key === "j" ? 1 : -1));
    if (key === "/") {
        const search = document.querySelector("main [data-search]");
        return search && handle(() => search.focus());
    }
    if (own_of(key)) return handle(own_of(key));
}

export function listen() {
    addEventListener("keydown", pressed);
}
