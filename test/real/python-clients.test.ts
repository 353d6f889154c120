import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { AgentProcess } from './agent-process.ts'
import {
  ANSIBLE_PLAYBOOK,
  type Found,
  findAnsible,
  findConsul2,
  findModule,
  PYTHON,
} from './clients/programs.ts'
import { type Cluster, clusterTest } from './cluster.ts'
import { type Finished, runCommand } from './command.ts'

const FOLDER = join(import.meta.dirname, 'clients')
/** Longest time for one client on a machine that does much else. Milliseconds. */
const CLIENT_MS_MAX = 60_000
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

interface Roles {
  readonly cluster: Cluster
  readonly leader: AgentProcess
  readonly follower: AgentProcess
}

clusterTest('clients written in Python, unchanged', { nodes: 3, timeoutMs: 110_000 }, async (t, cluster) => {
  const leader = await cluster.leader()
  const [follower] = cluster.others(leader)
  if (follower === undefined) throw new Error('there is no follower')
  const roles: Roles = { cluster, leader, follower }
  const [consul, consul2, ansible] = await Promise.all([
    findModule('consul', '0.7.1'),
    findConsul2(),
    findAnsible(),
  ])
  const tooz = 'missing' in consul2 ? consul2 : await findModule('tooz', null, consul2.env)

  // It takes the longest, most of it its own start: the others run meanwhile.
  const played = 'env' in ansible ? playbook(roles, ansible.env) : null
  for (const [agent, role] of [
    [leader, 'leader'],
    [follower, 'follower'],
  ] as const) {
    await withProgram(t, consul, `python-consul 0.7.1 through the ${role}`, (t, env) =>
      pythonConsul(t, roles, agent, { env, version: '0.7.1' }),
    )
    await withProgram(t, consul2, `python-consul2 0.1.5 through the ${role}`, (t, env) =>
      pythonConsul(t, roles, agent, { env, version: '0.1.5' }),
    )
  }
  await withProgram(t, tooz, 'tooz, one member through the leader and one through a follower', (t, env) =>
    toozMembers(t, roles, env),
  )
  await withProgram(t, ansible, "Ansible's modules, through the leader and a follower", async (t) => {
    if (played !== null) ansibleModules(t, roles, await played)
  })
})

/** A test that is skipped, with the reason, where the program is missing. */
async function withProgram(
  t: Test,
  found: Found,
  name: string,
  body: (t: Test, env: Readonly<Record<string, string>>) => Promise<void>,
): Promise<void> {
  if ('missing' in found) await t.test(name, { skip: found.missing }, async () => {})
  else await t.test(name, (t) => body(t, found.env))
}

/** What a script printed. @throws Error with its complaint if it failed. */
function printed<T>(finished: Finished): T {
  if (finished.code !== 0) {
    throw new Error(`exit code ${finished.code}: ${finished.err.slice(-1000)}${finished.out.slice(-2000)}`)
  }
  return JSON.parse(finished.out) as T
}

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

async function pythonConsul(
  t: Test,
  { cluster, leader }: Roles,
  agent: AgentProcess,
  client: { readonly version: string; readonly env: Readonly<Record<string, string>> },
): Promise<void> {
  const folder = `py-${agent.name}-${client.version}`
  const args = [join(FOLDER, 'python-consul.py'), String(agent.ports.http), folder]
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

async function toozMembers(
  t: Test,
  { cluster, leader, follower }: Roles,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const journal = join(cluster.folder, 'tooz-journal')
  const ports = [String(leader.ports.http), String(follower.ports.http)] as const
  const member = async (name: string, other: string, own: string, others: string) =>
    printed<{ readonly created: boolean }>(
      await runCommand(PYTHON, [join(FOLDER, 'tooz-member.py'), name, other, own, others, 'tooz', journal], {
        env,
        timeoutMs: CLIENT_MS_MAX,
      }),
    )
  const saw = await Promise.all([member('a', 'b', ports[0], ports[1]), member('b', 'a', ports[1], ports[0])])
  t.strictSame(
    saw.map(({ created }) => created),
    [saw[0].created, !saw[0].created],
    'one of them made the group',
  )
  for (const [i, [name, other]] of [
    ['a', 'b'],
    ['b', 'a'],
  ].entries()) {
    const created = saw[i]?.created
    t.strictSame(saw[i], {
      'renewed every': 10,
      created,
      'joined once only': true,
      members: ['a', 'b'],
      'group is listed': true,
      'capabilities of the other': other,
      'new capabilities': { of: name, new: true },
      acquired: true,
      'acquired twice': false,
      'acquired by a rival': false,
      'released by a rival': false,
      released: true,
      'acquired by a rival then': true,
      // The rival held it when its session ended, which delays the next one by 15 s.
      'acquired after its end': false,
      'left once only': true,
      ...(created === true ? { deleted: true, 'groups after': ['done'] } : {}),
    })
  }
  const lines = readFileSync(journal, 'utf8').trimEnd().split('\n')
  t.equal(lines.length, 8, 'each entered and left twice')
  const holders = lines.map((line) => line.split(' ')[0])
  t.strictSame(
    lines,
    holders.map((holder, i) => `${holder} ${i % 2 === 0 ? 'enters' : 'leaves'}`),
    'entering and leaving alternate',
  )
  t.strictSame(
    holders.filter((_, i) => i % 2 === 0),
    holders.filter((_, i) => i % 2 === 1),
    'nobody enters before the other has left',
  )
}

/** What the playbook's callback prints, as far as it is looked at. */
interface Played {
  readonly plays: readonly {
    readonly tasks: readonly {
      readonly task: { readonly name: string }
      readonly hosts: { readonly localhost: Readonly<Record<string, unknown>> }
    }[]
  }[]
}

function playbook(
  { cluster, leader, follower }: Roles,
  env: Readonly<Record<string, string>>,
): Promise<Finished> {
  const variables = {
    ansible_python_interpreter: PYTHON,
    leader: leader.ports.http,
    follower: follower.ports.http,
  }
  const args = ['-i', 'localhost,', '-e', JSON.stringify(variables), join(FOLDER, 'consul.yml')]
  return runCommand(ANSIBLE_PLAYBOOK, args, { env: { ...env, HOME: cluster.folder }, timeoutMs: 90_000 })
}

function ansibleModules(t: Test, { leader, follower }: Roles, finished: Finished): void {
  const tasks = printed<Played>(finished).plays[0]?.tasks ?? []
  const got = Object.fromEntries(tasks.map(({ task, hosts }) => [task.name, hosts.localhost]))
  const first = String(got['make a session']?.session_id)
  const second = String(got['make another']?.session_id)
  t.match(first, UUID)
  t.match(second, UUID)
  const written = { Key: 'ansible/k', Value: 'one', Flags: 42, LockIndex: 0 }
  t.match(got.write, { changed: true, data: written })
  t.match(got['write again'], { changed: false, data: written })
  t.strictSame(got['write again']?.index, got.write?.index, 'nothing has changed')
  t.match(got['ask for the session'], {
    sessions: [
      /^\d+$/,
      { ID: first, Name: 'first', Node: leader.name, Behavior: 'delete', TTL: '20s', LockDelay: 0 },
    ],
  })
  const listed = (got['list the sessions']?.sessions ?? []) as readonly {
    ID: string
    Name: string
    Node: string
  }[]
  t.match(
    listed.find(({ ID }) => ID === second),
    { Name: 'second', Node: follower.name },
  )
  t.ok(listed.some(({ ID }) => ID === first))
  t.match(got.lock, { changed: true, key: 'ansible/l' })
  t.match(got['lock by another'], { changed: false })
  t.match(got.unlock, { changed: true })
  t.match(got['lock by another then'], { changed: true })
  t.match(got['end the session'], { changed: true, session_id: second })
  const deleted = got.delete?.data as readonly Record<string, unknown>[]
  t.equal(got.delete?.changed, true)
  t.match(deleted, [written, { Key: 'ansible/l', Value: 'second', LockIndex: 2 }])
  t.notOk('Session' in (deleted[1] ?? {}), 'the end of the session was the end of its lock')
  t.match(got['delete again'], { changed: false, data: null })
  t.equal(Object.values(got).filter(({ failed }) => failed === true).length, 0)
  t.equal(tasks.length, 13)
}
