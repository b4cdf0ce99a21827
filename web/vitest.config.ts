// Runs the tests that need a page: the hooks and the custom element, in jsdom. The others need none (scripts/test.mjs).

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["client/test/dom/*.test.{ts,tsx}"], environment: "jsdom", environmentOptions: { jsdom: { url: "http://shop.example/" } } },
});
