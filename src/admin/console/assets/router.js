// Screen and filters live behind the `#` of the address, so that both can be linked to and are never sent anywhere.

import { useEffect, useState } from "./vendor/htm-preact.js";
import { address } from "./api.js";

export function current() {
    const [screen, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
    return { screen: screen || "overview", params: Object.fromEntries(new URLSearchParams(query)) };
}

export const link = (screen, params) => `#/${address(screen, params)}`;

export function go(screen, params) {
    location.hash = link(screen, params);
}

/** Changes filters of the present screen. It makes no entry in the history, or going back would take ages. */
export function filter(changes) {
    const { screen, params } = current();
    history.replaceState(null, "", link(screen, { ...params, ...changes }));
    dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useRoute() {
    const [route, setRoute] = useState(current);
    useEffect(() => {
        const changed = () => setRoute(current());
        addEventListener("hashchange", changed);
        return () => removeEventListener("hashchange", changed);
    }, []);
    return route;
}
