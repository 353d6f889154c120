import { join } from 'node:path'
import type { Test } from 'tap'
import type { AgentProcess } from '../agent-process.ts'
import { runCommand } from '../command.ts'
import { PYTHON } from './programs.ts'
import { CLIENT_MS_MAX, printed, type Roles, UUID } from './roles.ts'

interface PythonEntry {
  readonly CreateIndex: number
  readonly ModifyIndex: number
}

interface PythonResults {
  readonly get: PythonEntry
  readonly 'get after': PythonEntry
  readonly bytes: PythonEntry
  readonly nothing: PythonEntry
  readonly locked: PythonEntry
  readonly free: PythonEntry
  readonly session: string
  readonly 'session info': PythonEntry
  readonly 'full session': string
  readonly 'full session info': PythonEntry
  readonly 'index of a missing key': number
  readonly 'waited in vain for': number
  readonly 'woken after': number
  readonly peers: readonly string[]
  readonly fired: { readonly ID: string }
  readonly 'transaction in full'?: { readonly Results: readonly { readonly KV: PythonEntry }[] }
}

/** What the newer client's transactions give. */
function transactions(folder: string, done: PythonResults['transaction in full']): Record<string, unknown> {
  const index = done?.Results[0]?.KV.CreateIndex
  const made = { LockIndex: 0, Key: `${folder}/t`, CreateIndex: index, ModifyIndex: index }
  const refused = {
    Results: null,
    Errors: [{ OpIndex: 2, What: `key "${folder}/none" doesn't exist` }],
  }
  return {
    transaction: ['18446744073709551615', '18446744073709551615'],
    'transaction in full': {
      Results: [{ KV: { ...made, Value: null } }, { KV: { ...made, Value: 'MQ==' } }],
      Errors: null,
    },
    'transaction refused': ['ClientError', `409 ${JSON.stringify(refused)}`],
    'key after': '1',
    'transaction of a tree': { Results: [], Errors: null },
    'tree after': null,
  }
}

/** Drives python-consul or python-consul2 through one agent and looks at all it gave. */
export async function pythonConsul(
  t: Test,
  { cluster, leader }: Roles,
  agent: AgentProcess,
  client: { readonly version: string; readonly env: Readonly<Record<string, string>> },
): Promise<void> {
  const folder = `py-${agent.name}-${client.version}`
  const args = [join(import.meta.dirname, 'python-consul.py'), String(agent.ports.http), folder]
  const got = printed<PythonResults>(
    await runCommand(PYTHON, args, { env: client.env, timeoutMs: CLIENT_MS_MAX }),
  )
  const { session, 'full session': full } = got
  const key = `${folder}/a b/ü`
  const entry = (of: PythonEntry, Key: string, Value: string | null, more: Record<string, unknown> = {}) => ({
    LockIndex: 0,
    Key,
    Flags: '0',
    Value,
    CreateIndex: of.CreateIndex,
    ModifyIndex: of.ModifyIndex,
    ...more,
  })
  const fullInfo = {
    ID: full,
    Name: 'full',
    Node: agent.name,
    LockDelay: 0,
    Behavior: 'delete',
    TTL: '20s',
    NodeChecks: [],
    ServiceChecks: null,
    CreateIndex: got['full session info'].CreateIndex,
    ModifyIndex: got['full session info'].CreateIndex,
  }
  const two = entry(got['get after'], key, 'two', {
    Flags: '18446744073709551615',
    CreateIndex: got.get.CreateIndex,
  })
  t.strictSame(got, {
    version: client.version,
    missing: null,
    'index of a missing key': got['index of a missing key'],
    put: true,
    get: entry(got.get, key, 'one', { ModifyIndex: got.get.CreateIndex }),
    index: got.get.ModifyIndex,
    'put if absent': false,
    'put if another': false,
    'put if this': true,
    'get after': two,
    'get stale': true,
    'get consistent': two,
    'get with a token': true,
    'put bytes': true,
    bytes: entry(
      got.bytes,
      `${folder}/bytes`,
      Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString('hex'),
    ),
    'put nothing': true,
    nothing: entry(got.nothing, `${folder}/nothing`, null),
    keys: [key, `${folder}/bytes`, `${folder}/nothing`],
    'keys cut': [`${folder}/a b/`, `${folder}/bytes`, `${folder}/nothing`],
    recurse: [key, `${folder}/bytes`, `${folder}/nothing`],
    'recurse missing': null,
    elsewhere: ['ConsulException', '500 No path to datacenter'],
    'bad wait': ['BadRequest', '400 Invalid wait time'],
    'waited in vain': 'two',
    'waited in vain for': got['waited in vain for'],
    woken: 'three',
    'woken after': got['woken after'],
    'woken by a later index': true,
    'delete if another': false,
    delete: true,
    'delete missing': true,
    'delete recurse': true,
    'all gone': null,
    session,
    'session info': {
      ID: session,
      Name: '',
      Node: agent.name,
      LockDelay: 15_000_000_000,
      Behavior: 'release',
      TTL: '',
      Checks: ['serfHealth'],
      NodeChecks: ['serfHealth'],
      ServiceChecks: null,
      CreateIndex: got['session info'].CreateIndex,
      ModifyIndex: got['session info'].CreateIndex,
    },
    'full session': full,
    'full session info': fullInfo,
    renewed: fullInfo,
    node: agent.name,
    'sessions listed': 2,
    'sessions of the node': 2,
    'sessions of no node': [],
    'check that is not there': ['ConsulException', "500 Missing check 'nothing' registration"],
    acquired: true,
    'acquired by another': false,
    locked: entry(got.locked, `${folder}/lock`, 'full', { LockIndex: 1, Session: full }),
    'released by another': false,
    released: true,
    free: entry(got.free, `${folder}/lock`, 'free', { LockIndex: 1, CreateIndex: got.locked.CreateIndex }),
    'acquired again': true,
    destroyed: true,
    'destroyed again': true,
    'lock after': null,
    'session after': null,
    'renewed after': ['NotFound', `Session id '${full}' not found`],
    'acquired after': ['ConsulException', `500 invalid session "${full}"`],
    'plain destroyed': true,
    ...(client.version === '0.7.1' ? {} : transactions(folder, got['transaction in full'])),
    leader: `127.0.0.1:${leader.ports.mesh}`,
    peers: got.peers,
    servers: ['n1', 'n2', 'n3'],
    fired: {
      ID: got.fired.ID,
      Name: folder,
      Payload: 'djI=',
      NodeFilter: '^n',
      ServiceFilter: '',
      TagFilter: '',
      Version: 1,
      LTime: 0,
    },
    event: [got.fired.ID, client.version === '0.7.1' ? 'v2' : 'djI='],
    registered: true,
    'passing before': [],
    reported: true,
    passing: [[`${folder}/py`, 'fine']],
    catalogue: [80],
    deregistered: true,
    'services after': {},
  })
  t.ok(got['index of a missing key'] >= 1)
  t.ok(got['get after'].ModifyIndex > got.get.ModifyIndex)
  t.ok(got.free.ModifyIndex > got.locked.ModifyIndex)
  t.match(session, UUID)
  t.match(full, UUID)
  const peers = cluster.agents.map(({ ports }) => `127.0.0.1:${ports.mesh}`)
  t.strictSame(new Set(got.peers), new Set(peers))
  t.ok(got['waited in vain for'] >= 0.199 && got['waited in vain for'] < 10, `${got['waited in vain for']} s`)
  t.ok(got['woken after'] < 30, `${got['woken after']} s`)
}
