// Builds the shop into dist/: one script, one style sheet, both named by their content so that they can be cached for
// ever, and the page that names them. Served at /shop/.

import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "dist");

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });

const { metafile } = await build({
  entryPoints: [join(here, "src/main.tsx"), join(here, "src/styles/shop.css")],
  outdir: join(dist, "assets"),
  entryNames: "shop-[hash]",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome123", "firefox120", "safari17.5"],
  tsconfig: join(here, "../tsconfig.json"),
  metafile: true,
  logLevel: "warning",
});

const built = Object.keys(metafile.outputs).map((path) => basename(path));
const named = (ending) => `assets/${built.find((name) => name.endsWith(ending))}`;
const page = await readFile(join(here, "src/index.html"), "utf8");
await writeFile(join(dist, "index.html"), page.replace("{{style}}", named(".css")).replace("{{script}}", named(".js")));
await copyFile(join(here, "src/favicon.svg"), join(dist, "favicon.svg"));

for (const [path, { bytes }] of Object.entries(metafile.outputs)) console.log(`${basename(path)}  ${bytes} bytes`);
