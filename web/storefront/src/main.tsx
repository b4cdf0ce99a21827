// The shop's start: leads a path without its `#` to its page, submits orders that an earlier page could not, and renders.

import { render } from "preact";

import { weirgate } from "./live.ts";
import { handIn, orders } from "./model/orders.ts";
import { misplaced } from "./route.ts";
import { App } from "./ui/app.tsx";

const right = misplaced(location.pathname);
if (right !== undefined) history.replaceState(null, "", right);

for (const order of orders.value) void handIn(order, weirgate);

const root = document.getElementById("shop");
if (root) render(<App />, root);
