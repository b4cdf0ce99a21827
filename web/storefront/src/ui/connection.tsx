// The page's connection state: a badge that is always there, and a notice while the shown status may be outdated.

import type { ConnectionState } from "@weirgate/client";
import { useRef } from "preact/hooks";

import { useNow, weirgate } from "../live.ts";

type Health = "live" | "connecting" | "reconnecting" | "offline";

const LABELS: Record<Health, string> = { live: "Live", connecting: "Connecting", reconnecting: "Reconnecting", offline: "Offline" };

/** A try to connect looks the same as the wait for the next one, so that the badge does not flicker. */
function useHealth(connection: ConnectionState): Health {
  const tried = useRef(false);
  if (connection.state !== "connecting" && !isIdle(connection)) tried.current = true;
  if (connection.state === "connected") return "live";
  if (connection.state === "disconnected" && (connection.offline || isRefused(connection))) return "offline";
  return tried.current ? "reconnecting" : "connecting";
}

/** The server does not want this page back. */
function isRefused(connection: ConnectionState): boolean {
  return connection.state === "disconnected" && connection.code !== undefined && connection.retryAtMs === undefined;
}

function isIdle(connection: ConnectionState): boolean {
  return connection.state === "disconnected" && connection.code === undefined && connection.retryAtMs === undefined && !connection.offline;
}

export function ConnectionBadge({ connection }: { connection: ConnectionState }) {
  const health = useHealth(connection);
  return (
    <span class="badge" data-testid="connection" data-state={health} role="status">
      <i aria-hidden="true" />
      {LABELS[health]}
    </span>
  );
}

/** Shows since when the server is silent, and when the next try is due. */
export function ConnectionNotice({ connection, known }: { connection: ConnectionState; known: boolean }) {
  const health = useHealth(connection);
  const retryAtMs = connection.state === "disconnected" ? connection.retryAtMs : undefined;
  const now = useNow(retryAtMs !== undefined);
  if (health === "live" || health === "connecting") return null;
  return (
    <div class="notice" data-kind="away">
      <i class="spinner" aria-hidden="true" />
      <div>
        <strong>{headline(connection)}</strong>{" "}
        {known ? "This is the last known status. It continues as soon as the server is back. " : "We keep trying. "}
        {isRefused(connection) && <Reason connection={connection} />}
        {health === "reconnecting" && <NextTry atMs={retryAtMs} now={now} />}
      </div>
    </div>
  );
}

function headline(connection: ConnectionState): string {
  if (connection.state === "disconnected" && connection.offline) return "This device is offline.";
  return isRefused(connection) ? "The server has sent us away." : "The server does not answer.";
}

function NextTry({ atMs, now }: { atMs: number | undefined; now: number }) {
  return <span class="nowrap">{atMs === undefined || atMs <= now ? "Trying now." : `Next try in ${seconds(atMs - now)}.`}</span>;
}

function Reason({ connection }: { connection: ConnectionState }) {
  return (
    <>
      {connection.state === "disconnected" && `${connection.reason}. `}
      <button class="link" type="button" onClick={() => weirgate.reconnect()}>
        Try again
      </button>
    </>
  );
}

/** `1 s`, `2 min`: rounded up, so that it is never 0. */
export function seconds(delay_ms: number): string {
  const whole = Math.max(1, Math.ceil(delay_ms / 1000));
  return whole < 100 ? `${whole} s` : `${Math.ceil(whole / 60)} min`;
}
