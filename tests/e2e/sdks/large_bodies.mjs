// Reads a list of requests as JSON from standard input, each a method, a path and headers; sends them to the argument with a
// body of 5 MiB, each over a connection of its own; and prints each answer's status and code.

import { request } from "node:http";

const BODY = new Uint8Array(5 << 20).fill(0x20);

/** `fetch` sends its own host. */
function askAs(url, method, headers) {
  return new Promise((done, failed) => {
    const asked = request(url, { method, headers }, async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      done({ status: response.statusCode, json: () => JSON.parse(text) });
    });
    asked.on("error", failed).end(BODY);
  });
}

const ask = (url, method, headers) => (headers.host ? askAs(url, method, headers) : fetch(url, { method, headers: { ...headers, connection: "close" }, body: BODY }));

let input = "";
for await (const chunk of process.stdin) input += chunk;
const answers = [];
for (const [method, path, headers] of JSON.parse(input)) {
  try {
    const response = await ask(new URL(path, process.argv[2]), method, headers);
    answers.push(`${response.status} ${(await response.json()).code}`);
  } catch (error) {
    answers.push(`${error.message}: ${error.cause}`);
  }
}
console.log(JSON.stringify(answers));
