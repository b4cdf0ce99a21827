// The public interface of `@weirgate/client`: watching the status of subjects, and publishing events. Owns the protocol
// `weirgate.v1` on the browser's side; knows nothing of any page.

export { Weirgate } from "./weirgate.ts";
export type { ConnectionListener, Listener, WeirgateOptions } from "./weirgate.ts";
export type { ConnectionState } from "./connection.ts";
export type { StatusDocument } from "./document.ts";
export { browser, uuid } from "./environment.ts";
export type { Environment, PageEvent, Socket } from "./environment.ts";
export type { Part, PartDelivery, Parts } from "./protocol.ts";
export { PublishError } from "./publish.ts";
export type { CloudEvent, Published, PublishOptions, Retry } from "./publish.ts";
export type { DocumentStorage } from "./storage.ts";
