// Sends what connectors send that run on Node, by its own fetch: batches, whose results they find by index.
//
//     node client.mjs URL PROJECT_TOKEN KEY_ID KEY_SECRET calls|events

const [url, token, id, secret, what] = process.argv.slice(2);
const EVENTS = 200;

function call(route, body, pair = `${id}:${secret}`) {
  const authorization = `Basic ${Buffer.from(pair).toString("base64")}`;
  return fetch(`${url}/track/v2/projects/${token}/${route}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization, "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });
}

function event(n, event_type = "visit") {
  const properties = n === undefined ? undefined : { n };
  // An unknown ID is sent as an empty text, beside one that is known.
  const customer_ids = { registered: "node@example.com", cookie: "" };
  return { customer_ids, event_type, timestamp: 1700000000.25 + (n ?? 0), properties };
}

async function told(response) {
  const answer = await response.json();
  return `${response.status} ${answer.success || answer.errors[0]}`;
}

async function calls() {
  const { time } = await (await call("system/time")).json();
  console.log(`time: ${Math.abs(time - Date.now() / 1000) < 60 ? "now" : time}`);
  console.log(`event: ${await told(await call("customers/events", event()))}`);
  const customer_ids = { registered: "node@example.com" };
  const update = { customer_ids, properties: { name: "Žofie", tags: [] } };
  console.log(`update: ${await told(await call("customers", update))}`);
  const commands = [
    { name: "customers/events", data: event(1) },
    { name: "customers/events", data: { ...event(2), customer_ids: { registered: null } } },
    { name: "customers", data: { customer_ids, properties: { plan: "pro" } } },
  ];
  const { results } = await (await call("batch", { commands })).json();
  for (const result of results) {
    console.log(`batch: ${result.success || result.errors[0]}`);
  }
  console.log(`no type: ${await told(await call("customers/events", event(3, null)))}`);
  console.log(`wrong secret: ${await told(await call("customers/events", event(4), `${id}:wrong`))}`);
  console.log(`wrong key: ${await told(await call("customers/events", event(5), `wrong:${secret}`))}`);
}

const seen = new Set();

/** Sends commands until each is taken. */
async function deliver(commands) {
  for (let tries = 0; commands.length > 0; tries++) {
    if (tries === 300) throw new Error("not taken");
    const response = await call("batch", { commands }).catch(() => undefined);
    // A connection may end within an answer, too.
    const answer = await response?.json().catch(() => undefined);
    const status = answer ? response.status : 0;
    if (status === 200) {
      commands = commands.filter((_, index) => !answer.results[index].success);
      continue;
    }
    if (![0, 429, 503].includes(status)) throw new Error(`${status} ${JSON.stringify(answer)}`);
    if (!seen.has(status)) console.log(`refused: ${status}`);
    seen.add(status);
    const wait = answer ? 1000 * Number(response.headers.get("retry-after")) : 100;
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** Sends events in batches, many at once. */
async function events() {
  const commands = Array.from({ length: EVENTS }, (_, n) => ({ name: "customers/events", data: event(n + 1) }));
  for (const half of [commands.slice(0, EVENTS / 2), commands.slice(EVENTS / 2)]) {
    const batches = [];
    for (let at = 0; at < half.length; at += 5) batches.push(deliver(half.slice(at, at + 5)));
    await Promise.all(batches);
    console.log(`sent: ${half.at(-1).data.properties.n}`);
  }
}

await (what === "calls" ? calls() : events());
