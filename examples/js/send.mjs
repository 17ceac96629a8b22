/* Sends one message with the package and verifies its receipt: IFAB_ENDPOINT, IFAB_AS, IFAB_KEY, [IFAB_TO], [IFAB_VKEY]. */
import { Fabric, OutcomeUnknown, verify } from "infrafabric";

const { IFAB_AS, IFAB_TO = "Demo.B", IFAB_VKEY } = process.env;
const f = await Fabric.context({ talent: `${IFAB_AS}/js` });
const receipt = await f
  .send("JavaScript says: the build is green", { confidence: 0.9, scope: { branch: "main" }, to: IFAB_TO })
  .catch((e) => {
    if (e instanceof OutcomeUnknown) return f.sendBytes(e.id, e.body); /* the same bytes: accepted once, whatever happened before */
    throw e; /* Refused, InvalidMessage, Unreachable: nothing was accepted */
  });
console.log(receipt.decision, "-", receipt.reason);
/* the vkey comes from a place you trust, not from the daemon */
if (IFAB_VKEY) console.log("entry verified:", (await verify(receipt, IFAB_VKEY, { envelope: receipt.envelope })).index);
process.exitCode = receipt.shared ? 0 : 1;
