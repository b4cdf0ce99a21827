/** @jsxImportSource react */
// The hooks, rendered by React in a page (jsdom) and on a server, over the scripted environment.

import { act, StrictMode } from "react";
import { createRoot, hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, expect, test } from "vitest";

import { Weirgate } from "../../src/index.ts";
import { useConnection, useStatus, useWeirgate, WeirgateProvider } from "../../src/react.ts";
import { EPOCH, MemoryStorage, part, settle, World } from "../world.ts";

Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });

let root: HTMLElement;
let unmount = () => {};
beforeEach(() => {
  root = document.body.appendChild(document.createElement("main"));
});
afterEach(() => {
  act(unmount);
  root.remove();
});

function client(storage?: MemoryStorage) {
  const world = new World();
  return { world, weirgate: new Weirgate("http://shop.example", { environment: world, ...(storage ? { storage } : {}) }) };
}

function snapshot(subject: string, version: number, state: string) {
  return { type: "snapshot", subject, epoch: EPOCH, version, parts: { order: part(version, state) } };
}

let renders = 0;
function Order({ id, from }: { id: string | undefined; from?: Weirgate }) {
  renders += 1;
  const status = useStatus(id && `order/${id}`, from);
  const { state } = useConnection(from);
  return <p>{`${status?.parts["order"]?.state ?? "unknown"}, ${state}`}</p>;
}

async function render(element: React.ReactNode): Promise<(next: React.ReactNode) => Promise<void>> {
  const tree = createRoot(root);
  unmount = () => tree.unmount();
  const show = async (next: React.ReactNode) => void (await act(async () => tree.render(next)));
  await show(element);
  return show;
}

test("a component shows the status and the connection, and each change of them", async () => {
  const { world, weirgate } = client();
  await render(<StrictMode><WeirgateProvider client={weirgate}><Order id="o-1" /></WeirgateProvider></StrictMode>);
  expect(root.textContent).toBe("unknown, connecting");
  await act(async () => world.socket.hello());
  expect(world.socket.sent).toEqual([{ type: "subscribe", subjects: [{ subject: "order/o-1" }] }]);
  await act(async () => world.socket.says(snapshot("order/o-1", 3, "accepted")));
  expect(root.textContent).toBe("accepted, connected");
  await act(async () => world.socket.says({ type: "delta", subject: "order/o-1", previous: 3, version: 4, parts: { order: part(4, "paid") } }));
  expect(root.textContent).toBe("paid, connected");
  await act(async () => world.happens("offline"));
  expect(root.textContent).toBe("paid, disconnected");
});

test("nothing is rendered for a frame that changes nothing", async () => {
  const { world, weirgate } = client();
  await render(<Order id="o-1" from={weirgate} />);
  await act(async () => world.socket.hello());
  await act(async () => world.socket.says(snapshot("order/o-1", 3, "accepted")));
  const before = renders;
  await act(async () => world.socket.says({ type: "heartbeat" }));
  await act(async () => world.socket.says({ type: "delta", subject: "order/o-1", previous: 3, version: 3, parts: {} }));
  expect(renders).toBe(before);
});

test("another subject replaces the first, none is watched for no subject, and the end ends it", async () => {
  const { world, weirgate } = client();
  const show = await render(<Order id="o-1" from={weirgate} />);
  await act(async () => world.socket.hello());
  await act(async () => world.socket.says(snapshot("order/o-1", 3, "accepted")));
  await show(<Order id="o-2" from={weirgate} />);
  expect(root.textContent).toBe("unknown, connected");
  expect(world.socket.sent.at(-1)).toEqual({ type: "subscribe", subjects: [{ subject: "order/o-2" }] });
  await show(<Order id={undefined} from={weirgate} />);
  await settle();
  expect(world.socket.sent.at(-1)).toEqual({ type: "unsubscribe", subjects: ["order/o-2"] });
  act(unmount);
  unmount = () => {};
  world.advance(5_000);
  expect(world.socket.closedWith).toBe(1000);
  expect(world.listeners).toBe(0);
});

test("two components of one subject share its subscription", async () => {
  const { world, weirgate } = client();
  await render(<WeirgateProvider client={weirgate}><Order id="o-1" /><Order id="o-1" /></WeirgateProvider>);
  await act(async () => world.socket.hello());
  expect(world.socket.sent).toHaveLength(1);
  await act(async () => world.socket.says(snapshot("order/o-1", 3, "accepted")));
  expect(root.textContent).toBe("accepted, connectedaccepted, connected");
});

test("a stored document is shown at once; on a server there is none, and the page takes over without a mismatch", async () => {
  const storage = new MemoryStorage();
  storage.setItem("weirgate:order/o-1", JSON.stringify({ epoch: EPOCH, version: 3, parts: { order: part(3, "accepted") } }));
  const { weirgate } = client(storage);
  root.innerHTML = renderToString(<Order id="o-1" from={weirgate} />);
  expect(root.textContent).toBe("unknown, connecting");
  const mistakes: unknown[] = [];
  await act(async () => {
    const tree = hydrateRoot(root, <Order id="o-1" from={weirgate} />, { onRecoverableError: (error) => mistakes.push(error) });
    unmount = () => tree.unmount();
  });
  expect(root.textContent).toBe("accepted, connecting");
  expect(mistakes).toEqual([]);
});

test("without a client a hook says what to do", () => {
  const Lost = () => <>{useWeirgate().connection.state}</>;
  expect(() => renderToString(<Lost />)).toThrow("WeirgateProvider");
});
