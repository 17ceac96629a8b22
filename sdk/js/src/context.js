/* Where the fabric is and who speaks: the places, in the order, that `ifctl` looks at. src/programs/ifctl/settle.c, context.c. */
import { promises as fs } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { parse } from "./json.js";

const environment = (name) => process.env[name] || undefined; /* empty is not set */
const rooted = (name) => (environment(name)?.startsWith("/") ? process.env[name] : undefined);
const home = () => environment("HOME") ?? homedir();

async function readIfThere(file, max) {
  let handle;
  try {
    handle = await fs.open(file);
    const { size } = await handle.stat();
    if (size > max) throw new Error(`${file}: more than ${max} bytes`);
    return await handle.readFile("utf8");
  } catch (e) {
    if (e.code === "ENOENT" || e.code === "ENOTDIR") return undefined;
    throw e;
  } finally {
    await handle?.close();
  }
}

async function currentContext() {
  const file = path.join(rooted("XDG_CONFIG_HOME") ?? path.join(home(), ".config"), "infrafabric", "contexts.json"),
    text = await readIfThere(file, 1 << 20);
  if (text === undefined) return {};
  let stored;
  try {
    stored = parse(text);
  } catch (e) {
    throw new Error(`${file}: ${e.message}`);
  }
  const all = stored?.contexts,
    name = stored?.current;
  const chosen = all && typeof name === "string" && Object.hasOwn(all, name) ? all[name] : {};
  return Object.fromEntries(Object.entries(chosen).filter(([, v]) => typeof v === "string" && v !== ""));
}

/* The socket of a directory: run.dir of its ifd.yaml, else DIR/run. Only the two plain spellings of that setting are read here. */
async function endpointOf(dir) {
  const yaml = (await readIfThere(path.join(dir, "ifd.yaml"), 256 << 10)) ?? "";
  const block = /^run:[ \t]*(?:#.*)?\n((?:[ \t]+.*\n|[ \t]*#.*\n|\s*\n)*)/m.exec(yaml.endsWith("\n") ? yaml : yaml + "\n")?.[1] ?? "";
  const found = /^[ \t]+dir:[ \t]*(?:"([^"\\\n]*)"|'([^'\n]*)'|([^"'#\s][^#\n]*?))[ \t]*(?:#.*)?$/m.exec(block),
    run = found && (found[1] ?? found[2] ?? found[3]);
  return "unix:" + path.join(run ? path.resolve(dir, run) : path.join(dir, "run"), "ifd.sock");
}

const talentOf = (as) => as?.replace(/^if:\/\/agent\//, "").split("/")[0];

async function keyOf(options, chosen, talent, dir) {
  const named = environment("IFAB_KEY"),
    owner = environment("IFAB_AS");
  if (options.key !== undefined) return options.key;
  /* a key that the environment names belongs to the environment's talent */
  if (named && (options.talent === undefined || owner === undefined || talentOf(options.talent) === talentOf(owner))) return named;
  if (chosen.key && (chosen.as === undefined || talentOf(talent) === talentOf(chosen.as))) return chosen.key;
  const file = talent && path.join(dir, "keys", `${talentOf(talent)}.pem`);
  return (
    file &&
    (await fs.access(file).then(
      () => file,
      () => undefined,
    ))
  );
}

async function tokenOf(options, chosen) {
  const file = options.tokenFile ?? environment("IFAB_TOKEN_FILE") ?? chosen.token_file;
  if (options.token !== undefined || file === undefined) return options.token;
  const token = (await fs.readFile(file, "ascii")).replace(/[\r\n]+$/, "");
  if (!/^[\x21-\x7e]{1,4096}$/.test(token)) throw new Error(`${file} holds no token`);
  return token;
}

/* The key of a certificate is named beside it, or stands in its file; never one that belongs to another certificate. */
function certificateOf(options, ours) {
  const rows = [
    [options.cert, options.certKey],
    [environment("IFAB_CERT"), environment("IFAB_CERT_KEY")],
    [ours.cert, ours.cert_key],
  ];
  return rows.find(([cert]) => cert !== undefined) ?? [];
}

/** options: {endpoint, dir, talent, key, token, tokenFile, ca, cert, certKey}; what is missing comes from environment, context, defaults. */
export async function fromContext(options = {}) {
  const chosen = await currentContext();
  const fallback = path.join(rooted("XDG_DATA_HOME") ?? path.join(home(), ".local", "share"), "infrafabric");
  const dir = options.dir ?? environment("IFAB_DIR") ?? chosen.dir ?? fallback;
  const rows = [
    [options.endpoint, options.dir],
    [environment("IFAB_ENDPOINT"), environment("IFAB_DIR")],
    [chosen.endpoint, chosen.dir],
    [undefined, fallback],
  ];
  const [endpoint, place] = rows.find((row) => row.some((v) => v !== undefined));
  const same = endpoint === chosen.endpoint && (endpoint !== undefined || place === chosen.dir);
  const ours = same ? chosen : {}; /* what a context holds goes to its own fabric alone */
  const [cert, certKey] = certificateOf(options, ours);
  const talent = options.talent ?? environment("IFAB_AS") ?? chosen.as;
  const key = await keyOf(options, chosen, talent, dir);
  const file = talent && path.join(dir, "keys", `${talentOf(talent)}.pem`);
  return {
    ...options,
    dir,
    talent,
    endpoint: endpoint ?? (await endpointOf(place)),
    key,
    noKey: key === undefined && file ? `${file}: no such file; IFAB_DIR is ${environment("IFAB_DIR") ?? "not set"}` : undefined,
    token: await tokenOf(options, ours),
    ca: options.ca ?? environment("IFAB_CA") ?? ours.ca,
    cert,
    certKey,
  };
}
