import { join } from 'node:path'
import type { Test } from 'tap'
import type { AgentProcess } from '../agent-process.ts'
import { runCommand } from '../command.ts'
import { PYTHON } from './programs.ts'
import { CLIENT_MS_MAX, printed, type Roles } from './roles.ts'

/** Drives `agent`, `catalog` and `health` of python-consul or python-consul2 through one agent and looks at all they gave. */
export async function pythonServices(
  t: Test,
  { cluster }: Roles,
  agent: AgentProcess,
  client: { readonly version: string; readonly env: Readonly<Record<string, string>> },
): Promise<void> {
  const name = `py-${agent.name}-${client.version.replaceAll('.', '')}`
  const id = `${name}/1 é`
  const check = `service:${id}`
  const peer = cluster.others(agent)[0]
  const args = [
    join(import.meta.dirname, 'python-services.py'),
    String(agent.ports.http),
    name,
    `127.0.0.1:${peer?.ports.mesh}`,
  ]
  const got = printed<unknown>(await runCommand(PYTHON, args, { env: client.env, timeoutMs: CLIENT_MS_MAX }))
  const nodes = cluster.agents.map((other) => other.name)
  t.strictSame(got, {
    version: client.version,
    self: agent.name,
    members: nodes.map((node) => [node, 1]),
    'members wan': nodes.map((node) => `${node}.dc1`),
    join: true,
    'force leave': ['ConsulException', "500 agent: No node found with name 'nobody'"],

    'woken by its registration': true,
    services: {
      ID: id,
      Service: name,
      Tags: ['blue', 'v1'],
      Meta: {},
      Port: 80,
      Address: '127.0.0.1',
      Weights: { Passing: 1, Warning: 1 },
      EnableTagOverride: false,
      Datacenter: 'dc1',
    },
    'critical at first': 'critical',
    'check registered': true,
    'check of nothing': false,
    pass: true,
    warn: true,
    after: { [check]: ['passing', 'fine'], [`${name}-2`]: ['warning', 'so so'] },
    'pass of nothing': false,

    datacenters: ['dc1'],
    nodes,
    'nodes near': agent.name,
    'nodes elsewhere': ['ConsulException', '500 No path to datacenter'],
    tags: ['blue', 'v1'],
    'tags stale': ['blue', 'v1'],
    instances: [[id, 80]],
    'instances green': [],
    node: ['consul', id],
    'no node': null,

    all: [id],
    'passing with a warning': [],
    'by tag': [[id], []],
    near: [id],
    'node checks': true,
    state: [`${name}-2`],
    'state unknown': [],

    'woken by a check': true,
    passing: [id],
    'woken by a failure': true,
    failed: { [check]: ['critical', 'broken'] },
    'check deregistered': true,
    'pass again': true,

    maintenance: true,
    'passing in maintenance': [],
    'its check': 'upgrade',
    'maintenance over': true,
    'node maintenance': true,
    'passing in node maintenance': [],
    'node maintenance over': true,
    'passing after': [id],
    'maintenance of nothing': false,

    declared: true,
    'declared there': [[`${name}-node`, '10.1.2.3', 99]],
    'declared passing': ['far'],
    'declared node': '10.1.2.3',
    'check taken back': true,
    'service taken back': true,
    'node taken back': true,
    'nothing there': [[], null],

    'woken by its end': true,
    gone: [false, [], false],
    'deregistered again': false,
  })
}
