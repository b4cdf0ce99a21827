// Runs the unit tests: every `*.test.ts` and `*.test.tsx`, bundled for the installed Node and passed to its test runner. The
// bundles are written to node_modules/.cache.

import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const outdir = join(root, "node_modules/.cache/tests");

const entryPoints = ["client/test", "storefront/test"].flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((name) => /\.test\.tsx?$/.test(name))
    .map((name) => join(root, folder, name)),
);

rmSync(outdir, { recursive: true, force: true });
const bundle = { bundle: true, platform: "node", format: "esm", target: "node18", sourcemap: "inline", logLevel: "warning" };
await build({ ...bundle, entryPoints, outdir, outbase: root, outExtension: { ".js": ".mjs" }, tsconfig: join(root, "tsconfig.json") });

const tests = entryPoints.map((path) => join(outdir, path.slice(root.length).replace(/\.tsx?$/, ".mjs")));
const { status } = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...tests], { stdio: "inherit" });
process.exit(status ?? 1);
