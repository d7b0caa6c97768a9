// Asking again and again, while somebody looks.

import { useCallback, useEffect, useRef, useState } from "./vendor/htm-preact.js";

/** The last answer, and the last error if there is no answer since. `key` says what is asked for. */
export function usePoll(ask, period, key = "") {
    const [state, setState] = useState({ data: null, error: null, at: 0 });
    const [turn, setTurn] = useState(0);
    const last = useRef(key);
    useEffect(() => {
        const abort = new AbortController();
        let timer = 0;
        let asking = false;
        if (last.current !== key) {
            // An answer to another question would be wrong here.
            last.current = key;
            setState({ data: null, error: null, at: 0 });
        }
        const once = async () => {
            if (asking) return;
            asking = true;
            try {
                const data = await ask(abort.signal);
                if (!abort.signal.aborted) setState({ data, error: null, at: Date.now() });
            } catch (error) {
                if (!abort.signal.aborted) setState((old) => ({ ...old, error }));
            }
            asking = false;
            if (!abort.signal.aborted && period) timer = setTimeout(next, period);
        };
        const next = () => {
            timer = 0;
            if (!document.hidden) once();
        };
        const seen = () => {
            if (!document.hidden && !timer) once();
        };
        once();
        if (period) document.addEventListener("visibilitychange", seen);
        return () => {
            abort.abort();
            clearTimeout(timer);
            document.removeEventListener("visibilitychange", seen);
        };
    }, [key, turn]);
    return { ...state, again: useCallback(() => setTurn((n) => n + 1), []) };
}

/** The present, in milliseconds, once a second: what "3 s ago" is counted from. */
export function useNow() {
    const [now, setNow] = useState(Date.now());
    useEffect(() => {
        const timer = setInterval(() => document.hidden || setNow(Date.now()), 1000);
        return () => clearInterval(timer);
    }, []);
    return now;
}
