// The shop's start: submits orders that an earlier page could not, and renders the page.

import { render } from "preact";

import { weirgate } from "./live.ts";
import { handIn, orders } from "./model/orders.ts";
import { App } from "./ui/app.tsx";

for (const order of orders.value) void handIn(order, weirgate);

const root = document.getElementById("shop");
if (root) render(<App />, root);
