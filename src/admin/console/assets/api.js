// Calls of the service. Addresses are relative, so that the page also works behind a proxy that adds a path.

import { parse } from "./json.js";

export class Failed extends Error {
    constructor(status, text) {
        super(text);
        this.status = status;
    }
}

/** Is called when the service wants somebody to sign in. */
export const signIn = { wanted: () => {} };

export const OWN = { "X-Footfall-Console": "1" };

export function address(path, query = {}) {
    const params = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
        if (value !== undefined && value !== null && value !== "") params.set(name, value);
    }
    const text = params.toString();
    return text ? `${path}?${text}` : path;
}

/** What went wrong, in the service's words where it has some. */
export async function failure(response) {
    let text = `The service answered ${response.status}.`;
    try {
        text = JSON.parse(await response.text()).error || text;
    } catch {
        // A proxy in between may answer in its own way.
    }
    if (response.status === 401) signIn.wanted(text);
    return new Failed(response.status, text);
}

async function call(path, options) {
    let response;
    try {
        response = await fetch(path, { cache: "no-store", ...options });
    } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new Failed(0, "The service does not answer.");
    }
    if (!response.ok) throw await failure(response);
    return response;
}

export async function get(path, query, signal) {
    return (await call(address(path, query), { signal })).json();
}

/** With numbers as they are written, for what customers are. */
export async function getExact(path, query, signal) {
    return parse(await (await call(address(path, query), { signal })).text());
}

export async function post(path, body, headers = {}) {
    const options = {
        method: "POST",
        headers: { "Content-Type": "application/json", ...OWN, ...headers },
        body: JSON.stringify(body),
        // A key that is asked for each time must not become a cookie's business.
        credentials: "same-origin",
    };
    // Wrong keys are told to the form that asked, and open no other one.
    let response;
    try {
        response = await fetch(path, options);
    } catch {
        throw new Failed(0, "The service does not answer.");
    }
    if (response.ok) return;
    let text = `The service answered ${response.status}.`;
    try {
        text = JSON.parse(await response.text()).error || text;
    } catch {
        // As above.
    }
    throw new Failed(response.status, text);
}

export async function signOut() {
    await call("session", { method: "DELETE", headers: OWN });
}

/** Base64 of the text's UTF-8, as `Authorization: Basic` wants it. */
export function basic(id, secret) {
    const utf8 = new TextEncoder().encode(`${id}:${secret}`);
    return `Basic ${btoa(String.fromCharCode(...utf8))}`;
}
