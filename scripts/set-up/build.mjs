import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { filesBelow, inputsHash, STAMP } from "./checks.mjs";
import { run } from "./process.mjs";
import { SetUpError } from "./say.mjs";

/**
 * Makes dist in a folder beside it and moves it into place when it is whole: whoever starts meanwhile sees the old one
 * or the new one. Only the holder of the set-up's lock calls this.
 */
export async function build(root) {
  const hash = inputsHash(root);
  const work = join(root, "build");
  const made = join(work, `dist-${process.pid}`);
  mkdirSync(work, { recursive: true });
  for (const left of readdirSync(work).filter((name) => /^(dist|old)-\d+$/.test(name)))
    rmSync(join(work, left), { recursive: true });
  try {
    await compile(root, made);
    await bundle(root, "src/edge/bundle.ts", join(made, "edge.cjs"));
    await bundle(root, "src/auditor.ts", join(made, "portcullis-audit.cjs"));
    copyOthers(root, made);
    writeFileSync(join(made, STAMP), hash);
    moveIntoPlace(made, join(root, "dist"), join(work, `old-${process.pid}`));
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

async function compile(root, outDir) {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { code, output } = await run(
    process.execPath,
    [tsc, "-p", join(root, "tsconfig.build.json"), "--outDir", outDir, "--noEmitOnError"],
    {
      cwd: root,
    },
  );
  if (code !== 0) throw new SetUpError("the sources do not compile", { output });
}

/**
 * A program in one file. The edge runs as a user of its own, who may not be able to read this folder: the supervisor hands
 * it one. Auditors take theirs away.
 */
async function bundle(root, source, outfile) {
  const entry = join(root, source);
  if (!existsSync(entry)) return;
  const esbuild = await import(pathToFileURL(join(root, "node_modules/esbuild/lib/main.js")).href);
  try {
    await esbuild.build({
      absWorkingDir: root,
      entryPoints: [entry],
      outfile,
      bundle: true,
      platform: "node",
      format: "cjs",
      target: "node20",
      // CommonJS has no `import.meta`; a file's own address is all the sources use of it.
      banner: { js: `const __importMetaUrl = require("node:url").pathToFileURL(__filename).href;` },
      define: { "import.meta.url": "__importMetaUrl" },
      legalComments: "inline",
      logLevel: "silent",
    });
  } catch (error) {
    throw new SetUpError(`\`${source}\` cannot be bundled into one file`, { output: error.message });
  } finally {
    await esbuild.stop(); // or its process stays beside whatever runs next in this one
  }
}

/** SQL migrations, schemas and other files that the compiled code reads beside itself. */
function copyOthers(root, outDir) {
  for (const path of filesBelow(root, "src").filter((name) => !/\.[cm]?tsx?$/.test(name))) {
    const target = join(outDir, path.slice("src/".length));
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(root, path), target);
  }
}

function moveIntoPlace(made, dist, old) {
  if (existsSync(dist)) renameSync(dist, old);
  renameSync(made, dist);
  rmSync(old, { recursive: true, force: true });
}
