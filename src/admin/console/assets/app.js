// The frame of the page: navigation, sign-in, help.

import { Component, html, render, useLayoutEffect, useRef, useState } from "./vendor/htm-preact.js";
import { post, signIn, signOut } from "./api.js";
import { Customer } from "./customer.js";
import { forgetRow, keys, listen, useKeys } from "./keyboard.js";
import { Limits } from "./limits.js";
import { Live } from "./live.js";
import { Overview } from "./overview.js";
import { Dialog, Field, Text } from "./parts.js";
import { Refused } from "./refused.js";
import { link, useRoute } from "./router.js";
import { SCREENS } from "./screens.js";
import { Service } from "./service.js";

const COMPONENTS = {
    overview: Overview, live: Live, refused: Refused, customer: Customer, limits: Limits, service: Service,
};
const SIGNED_IN = "footfall-signed-in";

const stored = (name, value) => {
    try {
        if (value === undefined) return localStorage.getItem(name);
        if (value === null) localStorage.removeItem(name);
        else localStorage.setItem(name, value);
    } catch {
        // A browser may refuse storage. Then nothing is remembered.
    }
    return null;
};

function Theme() {
    const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? "auto");
    const pick = (event) => {
        const next = event.target.value;
        if (next === "auto") delete document.documentElement.dataset.theme;
        else document.documentElement.dataset.theme = next;
        stored("footfall-theme", next === "auto" ? null : next);
        setTheme(next);
        dispatchEvent(new Event("footfall-theme"));
    };
    return html`<label class="theme"><span class="away">Colours</span>
        <select value=${theme} onChange=${pick}>
            <option value="auto">As the system</option><option value="light">Light</option>
            <option value="dark">Dark</option>
        </select></label>`;
}

function SignIn({ text, onDone }) {
    const [trouble, setTrouble] = useState("");
    const [busy, setBusy] = useState(false);
    const submit = async (event) => {
        event.preventDefault();
        const form = event.currentTarget;
        const { project, key_id, secret } = form.elements;
        setBusy(true);
        try {
            await post("session", { project: project.value, key_id: key_id.value, secret: secret.value });
            stored(SIGNED_IN, `${project.value}: ${key_id.value}`);
            onDone();
        } catch (error) {
            setTrouble(error.message);
            setBusy(false);
        }
    };
    return html`<form class="panel sign-in" onSubmit=${submit}>
        <h2>Sign in</h2>
        <p>Use a key of a project, with its secret. ${text && html`The service says: <${Text} of=${text} />`}</p>
        <${Field} label="Project"><input name="project" required autocomplete="organization" autofocus /></${Field}>
        <${Field} label="Key ID"><input name="key_id" required autocomplete="username" /></${Field}>
        <${Field} label="Secret"><input name="secret" type="password" required
            autocomplete="current-password" /></${Field}>
        <button class="main" disabled=${busy}>Sign in</button>
        ${trouble && html`<p class="trouble" role="alert"><${Text} of=${trouble} /></p>`}
    </form>`;
}

const HELP = [
    ["/", "to the first filter"],
    ["j, k", "next row, previous row (also ↓ and ↑)"],
    ["Enter", "opens the row"],
    ["Esc", "closes it, or leaves a filter"],
    ["p", "pauses Live, or resumes it"],
    ["?", "this list"],
];

function Help({ onClose }) {
    const [on, setOn] = useState(keys.on);
    const toggle = (event) => {
        keys.on = event.target.checked;
        setOn(keys.on);
    };
    return html`<${Dialog} title="Keys" onClose=${onClose}>
        <dl class="keys">
            ${SCREENS.map(({ letter, title }) => html`<dt key=${letter}><kbd>g</kbd> <kbd>${letter}</kbd></dt>
                <dd>${title}</dd>`)}
            ${HELP.map(([names, what]) => html`<dt key=${names}>
                ${names.split(", ").map((one) => html`<kbd>${one}</kbd> `)}</dt><dd>${what}</dd>`)}
        </dl>
        <label class="check"><input type="checkbox" checked=${on} onChange=${toggle} /> Single keys do this</label>
        <p class="hint">Times are in UTC. The page talks to this service only, and keeps no data of customers.</p>
    </${Dialog}>`;
}

/** A defect of one screen must not take the others away. */
class Guard extends Component {
    componentDidCatch(error) {
        console.error(error);
        this.setState({ error });
    }

    render({ children }, { error }) {
        if (!error) return children;
        return html`<p class="trouble" role="alert">This screen failed: <${Text} of=${error.message} />. Load the page
            again.</p>`;
    }
}

function App() {
    const { screen, params } = useRoute();
    const [asked, setAsked] = useState(null);
    const [help, setHelp] = useState(false);
    const [visit, setVisit] = useState(0);
    const heading = useRef();
    const at = SCREENS.find(({ name }) => name === screen) ?? SCREENS[0];
    signIn.wanted = (text) => {
        stored(SIGNED_IN, null);
        // The first of several calls says why. Others are cut off when the screen goes.
        setAsked((old) => old ?? text);
    };
    const first = useRef(true);
    useLayoutEffect(() => {
        document.title = `${at.title} · Footfall`;
        forgetRow();
        // The address bar has the focus at first, and keeps it.
        if (!first.current) heading.current?.focus();
        first.current = false;
    }, [at.name]);
    useKeys({ "?": () => setHelp(true) });
    const who = stored(SIGNED_IN);
    const leave = async () => {
        await signOut().catch(() => {});
        stored(SIGNED_IN, null);
        setVisit(visit + 1);
    };
    const Screen = COMPONENTS[at.name];
    return html`
        <button type="button" class="skip" onClick=${() => heading.current.focus()}>To the content</button>
        <header class="side">
            <a class="brand" href="#/overview"><img src="console/icon.svg" width="20" height="20" alt="" /> Footfall</a>
            <nav aria-label="Screens"><ul>
                ${SCREENS.map(({ name, title, letter }) => html`<li key=${name}>
                    <a href=${link(name)} aria-current=${name === at.name ? "page" : null}>${title}
                        <kbd aria-hidden="true">g ${letter}</kbd></a>
                </li>`)}
            </ul></nav>
            <div class="foot">
                <${Theme} />
                <button type="button" class="plain" onClick=${() => setHelp(true)} aria-label="Keys">?</button>
                ${who && html`<button type="button" class="plain" onClick=${leave}
                    title=${`Signed in with ${who}`}>Sign out</button>`}
            </div>
        </header>
        <main class=${`screen ${at.name}`}>
            <h1 tabindex="-1" ref=${heading}>${at.title}<span class="quiet zone">times in UTC</span></h1>
            <${Guard} key=${`${at.name} ${visit}`}>
                ${asked !== null
                    ? html`<${SignIn} text=${asked} onDone=${() => { setAsked(null); setVisit(visit + 1); }} />`
                    : html`<${Screen} params=${params} />`}
            </${Guard}>
        </main>
        ${help && html`<${Help} onClose=${() => setHelp(false)} />`}`;
}

listen();
render(html`<${App} />`, document.getElementById("app"));
