/* The agents of tests/interop/live_chaos.py: a job on stdin, a line for each send on stdout. One in ten sends aborts, unless calm. */
import { Fabric, OutcomeUnknown, Unreachable } from "../src/node.js";

const parts = [];
for await (const p of process.stdin) parts.push(p);
const { endpoint, agents, seconds, calm } = JSON.parse(Buffer.concat(parts).toString());
const end = Date.now() + seconds * 1000;
let open = 0;

async function one(fabric) {
  let unknown = 0,
    again,
    aborted = 0;
  for (;;) {
    const signal = !calm && Math.random() < 0.1 ? AbortSignal.timeout(Math.ceil(Math.random() * 30)) : undefined;
    try {
      const r = again
        ? await fabric.sendBytes(again.id, again.body, { signal })
        : await fabric.send("x", { confidence: 0.9, scope: { a: 1 }, signal });
      const resigned = fabric.posts - 1;
      fabric.posts = 0;
      return { id: r.id, index: r.entry.index, decision: r.decision, unknown, replayed: r.replayed, aborted, resigned };
    } catch (e) {
      if (signal?.aborted) aborted++;
      if (e instanceof OutcomeUnknown) [unknown, again] = [unknown + 1, e];
      else if (!(signal?.aborted || e instanceof Unreachable)) throw e;
    }
  }
}

await Promise.all(
  agents.map(async ({ talent, key }) => {
    const fabric = new Fabric({ endpoint, talent, key, timeout: 0.5, retries: 2, delays: [20, 50, 100] });
    const call = fabric.wire.call.bind(fabric.wire);
    fabric.posts = 0;
    fabric.wire.call = (method, ...rest) => ((fabric.posts += method === "POST"), call(method, ...rest));
    while (Date.now() < end) {
      open++;
      console.log(JSON.stringify(await one(fabric)));
      open--;
    }
  }),
);
console.log(JSON.stringify({ open }));
