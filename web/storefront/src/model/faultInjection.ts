// The endpoints behind the shop's fault injection: a handler's state and manifest, pause and resume. Reads when asked to; that
// something has changed is pushed (services.ts).

import { isRecord } from "./store.ts";

export interface Handler {
  readonly name: string;
  readonly state: "running" | "paused" | "waiting-for-module";
  readonly digest: string;
  readonly manifest: Readonly<Record<string, unknown>>;
}

export function gatewayOf({ manifest }: Handler): "up" | "down" {
  const config = manifest["config"];
  return isRecord(config) && config["gateway"] === "down" ? "down" : "up";
}

/** Undefined if no such handler is deployed. */
export async function readHandler(name: string): Promise<Handler | undefined> {
  const answer = await ask("GET", name).catch((error: unknown) => {
    if (error instanceof Refusal && error.status === 404) return undefined;
    throw error;
  });
  if (!answer) return undefined;
  const { state, digest, manifest } = answer;
  if (typeof digest !== "string" || !isRecord(manifest)) throw new Error("the server's answer is not a handler");
  return { name, state: stateOf(state), digest, manifest };
}

function stateOf(state: unknown): Handler["state"] {
  return state === "paused" || state === "waiting-for-module" ? state : "running";
}

/** Deploys the payment handler again, unchanged except for its gateway. */
export async function setGateway(gateway: "up" | "down"): Promise<void> {
  const handler = await readHandler("payment");
  if (!handler) throw new Error("there is no payment handler");
  const { digest, manifest } = handler;
  const config = isRecord(manifest["config"]) ? manifest["config"] : {};
  await ask("PUT", "payment", { digest, manifest: { ...manifest, config: { ...config, gateway } } });
}

export async function setPaused(name: string, paused: boolean): Promise<void> {
  await ask("POST", `${name}/${paused ? "pause" : "resume"}`);
}

async function ask(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const response = await fetch(`/v1/handlers/${path}`, { method, ...json, signal: AbortSignal.timeout(10_000) });
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok) return isRecord(answer) ? answer : {};
  const said = isRecord(answer) ? (answer["detail"] ?? answer["title"]) : undefined;
  throw new Refusal(String(said ?? `the server answered ${response.status}`), response.status);
}

class Refusal extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}
