// ifctl mcp under the official JavaScript clients. Prints TAP. Usage: with_fabric.py BUILD node client.mjs modern|legacy
// modern: @modelcontextprotocol/client (2026-07-28); legacy: @modelcontextprotocol/sdk (2025-11-25).
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const which = process.argv[2]
const { IFAB_IFCTL: ifctl, IFAB_DIR: directory } = process.env
const run = promisify(execFile)
let count = 0, failed = 0
const check = (good, name, detail = '') => {
  count += 1
  if (!good) { failed += 1; console.log('# ' + (JSON.stringify(detail) ?? '').slice(0, 1500)) }
  console.log(`${good ? 'ok' : 'not ok'} ${count} - ${name}`)
}

let Client, StdioClientTransport
if (which === 'modern') {
  ;({ Client } = await import('@modelcontextprotocol/client'))
  ;({ StdioClientTransport } = await import('@modelcontextprotocol/client/stdio'))
} else {
  ;({ Client } = await import('@modelcontextprotocol/sdk/client/index.js'))
  ;({ StdioClientTransport } = await import('@modelcontextprotocol/sdk/client/stdio.js'))
}

async function connect(talent) {
  const options = which === 'modern' ? { versionNegotiation: { mode: { pin: '2026-07-28' } } } : {}
  const client = new Client({ name: 'interop', version: '1' }, options)
  const args = ['mcp', '--quiet', '--as', talent, '--key', `${directory}/keys/${talent}.pem`]
  await client.connect(new StdioClientTransport({ command: ifctl, args, env: process.env }))
  return client
}

try {
  const a = await connect('Demo.A'), b = await connect('Demo.B')
  if (which === 'modern') check(a.getNegotiatedProtocolVersion() === '2026-07-28', 'it speaks 2026-07-28', a.getNegotiatedProtocolVersion())
  else check((await a.ping(), a.getServerCapabilities().tools !== undefined), 'it is initialized and pings')
  check(a.getServerVersion().name === 'ifctl' && a.getInstructions().includes('untrusted'), 'the server says who it is')
  const { tools } = await a.listTools()
  check(tools.map(t => t.name).sort().join() ===
    'cost_track,fabric_decision,fabric_inbox,fabric_send,task_complete,task_fail,task_next,task_progress,witness_trace', 'it lists its tools', tools)
  const call = (client, name, args = {}, options = undefined) =>
    client.callTool({ name, arguments: args }, ...(which === 'modern' ? [options] : [undefined, options]))
  const sure = { confidence: 0.9, to: 'Demo.B', scope: { a: 1 } }

  const shared = await call(a, 'fabric_send', { claim: 'from the official client', ...sure, data: { n: 1e-7, text: 'café 東京 🚀' } })
  const said = shared.structuredContent
  check(said.decision === 'SHARE' && said.receipt.entry.index > 0, 'SHARE', said)
  check(JSON.stringify(JSON.parse(shared.content[1].text)) === JSON.stringify(said), 'the text says the same')
  const held = (await call(a, 'fabric_send', { claim: 'held', ...sure, confidence: 0.25 })).structuredContent
  check(held.decision === 'HOLD' && !held.delivered && held.next_step.includes('fabric_decision'), 'HOLD', held)
  const escalated = (await call(a, 'fabric_send', { claim: 'danger', ...sure, hazards: ['safety'] })).structuredContent
  check(escalated.decision === 'ESCALATE', 'ESCALATE', escalated)
  const denied = await call(a, 'fabric_send', { claim: '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA', ...sure })
  check(denied.structuredContent.decision === 'DENY' && !denied.isError, 'DENY is no error', denied)
  const refused = await call(a, 'fabric_send', { claim: 'x', ...sure, to: 'Nobody' })
  check(refused.isError && refused.structuredContent.error.code === 'IF_ERR_108', 'a refusal is', refused)

  const waiting = call(a, 'fabric_decision', { id: held.id, wait_s: 50 })
  const during = await call(a, 'fabric_inbox')
  check(!during.isError, 'another call is answered while one waits')
  const operator = ['--as', 'operator', '--key', `${directory}/keys/operator.pem`, '--why', 'test']
  await run(ifctl, ['decision', 'scope-ok', held.id, '--yes', ...operator])
  const got = (await waiting).structuredContent
  check(got.decision === 'SHARE' && got.state === 'decided', 'a decision is waited for and comes', got)

  const inbox = (await call(b, 'fabric_inbox', { limit: 100 })).structuredContent
  const claims = inbox.items.map(m => m.envelope.content.claim).join()
  check(claims === 'from the official client,held', 'the receiver reads what was shared', inbox)
  check(inbox.items[0].envelope.content.data.text === 'café 東京 🚀', 'as it was sent')
  const trace = (await call(a, 'witness_trace', { trace: said.receipt.trace })).structuredContent
  check(trace.items[0].subject === said.id, 'a trace shows its entries', trace)

  const abort = new AbortController()
  const cut = call(a, 'fabric_inbox', { wait_s: 50 }, { signal: abort.signal }).then(() => false, () => true)
  await call(a, 'fabric_inbox')
  abort.abort()
  check(await cut && !(await call(a, 'fabric_inbox')).isError, 'a cancelled wait leaves the rest alone')
  const unknown = await call(a, 'task_claim').then(r => r, e => e)
  check(unknown.code === -32602, 'a tool that is not there is refused', unknown)
  await a.close()
  await b.close()
} catch (e) {
  check(false, 'the scenario ends', String(e?.stack ?? e))
}
console.log(`1..${count}`)
process.exit(failed > 0 ? 1 : 0)
