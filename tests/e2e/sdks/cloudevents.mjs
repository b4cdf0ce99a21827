// Round trips of the npm package `cloudevents`, and of our browser client: what is published in each mode comes back from the
// log as the same event, by the package's own reader. Its argument is the server's URL.

import { strictEqual, deepStrictEqual } from "node:assert";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const web = join(dirname(fileURLToPath(import.meta.url)), "../../../web");
const { CloudEvent, HTTP, Mode, emitterFor, httpTransport } = createRequire(join(web, "package.json"))("cloudevents");
const { Weirgate } = await import(pathToFileURL(join(web, "client/dist/index.js")).href);
const server = process.argv[2].replace(/\/$/, "");
const STRUCTURED = { "content-type": "application/cloudevents+json" };

let made = 0;
const make = (more) => new CloudEvent({ id: `npm-${(made += 1)}`, source: "/npm", type: "npm.tested", subject: "order/o-1", ...more });

/** The attributes and data of events that the package can make. */
const events = () => [
  make({ data: { n: 1, nested: [null, true, "x"] } }),
  make({ data: { n: 1 }, datacontenttype: "application/vnd.example+json" }),
  make({ data: { n: 1 }, datacontenttype: "application/json; charset=utf-8" }),
  make({ data: "text", datacontenttype: "text/plain" }),
  make({ data: "<much wow=\"xml\"/>", datacontenttype: "application/xml" }),
  make({ data: new Uint8Array([0, 1, 128, 255]), datacontenttype: "application/octet-stream" }),
  make({ time: "2018-04-05T17:31:00.000Z", dataschema: "https://example.com/schema", data: {} }),
  make({ extinteger: 10, extboolean: true, extstring: "text", exturi: "https://example.com", extbinary: "TWE=" }),
  make({ comexampleextensionwithaverylongname: "x", partitionkey: "k", data: {} }),
  make({ subject: "100% of 'a' & <b>", data: {} }),
];

async function send(headers, body) {
  const response = await fetch(`${server}/v1/events`, { method: "POST", headers, body });
  const answer = await response.json();
  strictEqual(response.status, 202, JSON.stringify(answer));
  return answer.events;
}

async function stored(position) {
  const item = await (await fetch(`${server}/v1/events/${position}`)).json();
  return HTTP.toEvent({ headers: STRUCTURED, body: JSON.stringify(item.event) });
}

/** An event's attributes and data. In headers all values are text. */
function parts(event, isText) {
  const { data, data_base64, ...attributes } = event.toJSON();
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null) delete attributes[name];
    else if (isText) attributes[name] = String(value);
  }
  const bytes = data_base64 ?? (ArrayBuffer.isView(data) ? Buffer.from(data).toString("base64") : undefined);
  return { attributes, data: bytes === undefined ? data : { bytes } };
}

async function same(event, accepted, changes = {}, isText = false) {
  strictEqual(accepted.duplicate, false);
  const sent = parts(event, isText);
  Object.assign(sent.attributes, changes);
  deepStrictEqual(parts(await stored(accepted.position), isText), sent);
}

for (const event of events()) {
  const { headers, body } = HTTP.structured(event);
  await same(event, (await send(headers, body))[0]);
}
for (const event of events()) {
  const { headers, body } = HTTP.binary(event);
  // The package names a content type where the event has none.
  const changes = event.datacontenttype ? {} : { datacontenttype: headers["content-type"] };
  await same(event, (await send(headers, body))[0], changes, true);
}
const batch = events();
const accepted = await send({ "content-type": "application/cloudevents-batch+json" }, JSON.stringify(batch));
for (const [index, event] of batch.entries()) await same(event, accepted[index]);

// Its own transport, in both modes; the same event again is a duplicate.
for (const mode of [Mode.BINARY, Mode.STRUCTURED]) {
  const event = make({ data: { n: 1 }, subject: "order/o-2" });
  const emit = emitterFor(httpTransport(`${server}/v1/events`), { mode });
  const first = JSON.parse((await emit(event)).body).events[0];
  const again = JSON.parse((await emit(event)).body).events[0];
  deepStrictEqual([first.duplicate, again.duplicate, again.position], [false, true, first.position]);
}

// The package escapes nothing, so a value that is not ASCII is raw UTF-8 where the HTTP client allows it.
const named = make({ subject: "Euro € 😀", data: {} });
const { headers, body } = HTTP.binary(named);
headers["ce-subject"] = Buffer.from(headers["ce-subject"], "utf8").toString("latin1");
const [euro] = await send(headers, body);
strictEqual(euro.key, "Euro € 😀");

// Our client for browsers.
const client = new Weirgate(server);
const published = await client.publish({ source: "/client", type: "client.tested", subject: "order/o-3", data: { n: [1] }, extinteger: 7 });
const event = await stored(published.position);
deepStrictEqual([event.id, event.subject, event.data, event.extinteger], [published.id, "order/o-3", { n: [1] }, 7]);
client.close?.();
