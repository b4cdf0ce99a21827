// The services behind an order, as the runtime pushes their state: the subjects `weirgate/handlers/<name>`. While a breaker
// is open, payments that wait have no trouble of their own in the order's status; what holds them up is shown here.

import type { StatusDocument } from "@weirgate/client";

import type { StepName } from "./steps.ts";

export interface Service {
  readonly mode: "running" | "paused" | "draining";
  /** The circuit breaker is open: calls are not tried, except for an occasional probe. */
  readonly isBreakerOpen: boolean;
  /** Changes with each deployment and each change of the mode. */
  readonly version: number;
}

export type Services = Readonly<Partial<Record<StepName, Service>>>;

export function serviceOf(document: StatusDocument | undefined): Service {
  const { "weirgate-handler": handler, "weirgate-breaker": breaker, "weirgate-deployment": deployment } = document?.parts ?? {};
  const state = handler?.state;
  return {
    mode: state === "paused" || state === "draining" ? state : "running",
    isBreakerOpen: breaker?.state === "open",
    version: Math.max(handler?.version ?? 0, deployment?.version ?? 0),
  };
}

/** What holds up a step that the service has not begun. A service that drains begins nothing either. */
export function holdOf(service: Service | undefined): "breaker" | "paused" | undefined {
  if (service && service.mode !== "running") return "paused";
  return service?.isBreakerOpen ? "breaker" : undefined;
}
