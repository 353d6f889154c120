import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ApiClient } from '../api-client.ts'
import { record, records } from '../client-command.ts'
import { CliError } from '../errors.ts'
import { cell, renderTable } from '../table.ts'
import { type DevFolder, openFolder } from './folder.ts'
import { NodeProcess, type Program } from './node-process.ts'
import { type NodePlan, planNodes, portsOf } from './plan.ts'
import { findBusyPort } from './ports.ts'

const POLL_MS = 200
const READY_TIMEOUT_MS = 30_000
const LEADER_TIMEOUT_MS = 5000
const STOP_TIMEOUT_MS = 12_000

/** What the operator asked for. */
export interface DevOptions {
  /** Null = as many as last time in this folder, 3 in a new one. */
  readonly nodes: number | null
  /** Folder to keep state in; null = a temporary one. */
  readonly dataDir: string | null
  readonly httpPort: number
  readonly logLevel: string
}

/** What `runDev` works with. */
export interface DevCollaborators {
  readonly program: Program
  readonly print: (text: string) => void
  /** Aborted to stop the cluster. */
  readonly stop: AbortSignal
  /** Aborted to stop waiting for nodes that take their time to stop. */
  readonly kill: AbortSignal
}

/**
 * Runs a cluster of agents on loopback until `stop`, and answers the exit code: 0 after a stop that was asked for, 1
 * when the cluster did not come up or nothing of it is left.
 * @throws CliError when it cannot even be started.
 */
export async function runDev(options: DevOptions, collaborators: DevCollaborators): Promise<number> {
  const { print, stop } = collaborators
  // Judged before anything is written: a refused start leaves no folder behind.
  if (options.nodes !== null) planNodes(options.nodes, options.httpPort)
  if (options.dataDir === null)
    await requirePorts(planNodes(options.nodes ?? 3, options.httpPort), 0, collaborators)
  const folder = openFolder(options.dataDir, options.nodes)
  const started: NodeProcess[] = []
  try {
    const plans = planNodes(folder.nodes, options.httpPort)
    // The nodes of a run that was killed notice it and stop by themselves, but not within the same instant.
    await requirePorts(plans, folder.reused ? STOP_TIMEOUT_MS : 0, collaborators)
    const kept = options.dataDir === null ? 'removed at the end' : 'kept'
    print(`starting ${plans.length} nodes; state and logs in ${folder.path} (${kept})`)
    if (stop.aborted) return 0
    for (const plan of plans) started.push(startNode(plan, plans, folder, options, collaborators))
    if (!(await waitReady(started, print, stop))) return stop.aborted ? 0 : 1
    print(await describe(started, stop))
    return await watch(started, print, stop)
  } finally {
    await stopAll(started, collaborators)
    folder.close()
  }
}

function startNode(
  plan: NodePlan,
  plans: readonly NodePlan[],
  folder: DevFolder,
  options: DevOptions,
  collaborators: DevCollaborators,
): NodeProcess {
  const others = plans.filter((other) => other !== plan)
  const isFirst = plans.indexOf(plan) < folder.firstNodes
  // A cluster begun by one node has nobody to join, and a node that joins would never begin one.
  const alone = isFirst && folder.firstNodes === 1
  const args = [
    ...['--node', plan.name],
    ...['--data-dir', join(folder.path, plan.name)],
    ...['--http', `127.0.0.1:${plan.httpPort}`],
    ...['--mesh', `127.0.0.1:${plan.meshPort}`],
    ...['--dns', `127.0.0.1:${plan.dnsPort}`],
    ...['--cluster-key-file', join(folder.path, 'cluster.key')],
    ...['--log-level', options.logLevel, '--log-format', 'json'],
    ...(isFirst ? ['--bootstrap-expect', String(folder.firstNodes)] : []),
    ...(alone ? [] : others.flatMap((other) => ['--join', `127.0.0.1:${other.meshPort}`])),
  ]
  return new NodeProcess({ plan, args, logFile: join(folder.path, `${plan.name}.log`) }, collaborators)
}

async function requirePorts(
  plans: readonly NodePlan[],
  patienceMs: number,
  { print, stop }: DevCollaborators,
): Promise<void> {
  const deadline = performance.now() + patienceMs
  for (let attempt = 0; !stop.aborted; attempt++) {
    const busy = await findBusyPort(plans.flatMap(portsOf))
    if (busy === null) return
    if (performance.now() >= deadline) {
      throw new CliError(
        'CLI_FAILED',
        `port ${busy.port} (${busy.use}) is in use; choose another with --http-port`,
      )
    }
    if (attempt === 0) print(`port ${busy.port} (${busy.use}) is in use; waiting for nodes of the last run`)
    await pause(stop)
  }
}

/** False if a node ended, the time was up or a stop was asked for before every node said that it is ready. */
async function waitReady(
  nodes: readonly NodeProcess[],
  print: (text: string) => void,
  stop: AbortSignal,
): Promise<boolean> {
  const deadline = performance.now() + READY_TIMEOUT_MS
  const reasons = new Map<NodeProcess, string>()
  let shown = -1
  while (!stop.aborted) {
    const dead = nodes.find((node) => !node.running)
    if (dead !== undefined) {
      print(`${dead.plan.name} ended before it was ready (${await dead.exited}). The end of its log:`)
      print(indent(dead.lastLines()))
      return false
    }
    await Promise.all(nodes.map(async (node) => reasons.set(node, await askReady(node))))
    const waiting = nodes.filter((node) => reasons.get(node) !== '')
    const ready = nodes.length - waiting.length
    if (ready !== shown) print(`${ready} of ${nodes.length} nodes are ready`)
    shown = ready
    if (waiting.length === 0) return true
    if (performance.now() >= deadline) {
      for (const node of waiting) {
        print(
          `${node.plan.name} is not ready after ${READY_TIMEOUT_MS / 1000} s: ${reasons.get(node)}. The end of its log:`,
        )
        print(indent(node.lastLines()))
      }
      return false
    }
    await pause(stop)
  }
  return false
}

/** '' if the node is ready, else why not. */
async function askReady(node: NodeProcess): Promise<string> {
  try {
    await clientOf(node).expect('/readyz', { timeoutMs: 2000 })
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

async function describe(nodes: readonly NodeProcess[], stop: AbortSignal): Promise<string> {
  const roles = await askRoles(nodes, stop)
  const address = (port: number): string => `127.0.0.1:${port}`
  const rows = nodes.map(({ plan, pid }) => [
    plan.name,
    cell(roles.get(plan.name)),
    address(plan.httpPort),
    address(plan.meshPort),
    address(plan.dnsPort),
    cell(pid),
  ])
  const table = renderTable(['NODE', 'ROLE', 'HTTP', 'MESH', 'DNS', 'PID'], rows, 'no nodes')
  const url = (index: number): string => `http://${address(nodes[index % nodes.length]?.plan.httpPort ?? 0)}`
  const leader = nodes.find((node) => roles.get(node.plan.name) === 'leader') ?? nodes[0]
  return [
    '',
    table,
    'Try:',
    `  curl -X PUT -d hello ${url(0)}/v1/kv/greeting`,
    `  curl '${url(1)}/v1/kv/greeting?raw'`,
    `  curl -X PUT -d '{"Name":"web","Port":8080,"Tags":["traefik.enable=true","traefik.http.routers.web.rule=Host(\`web.localhost\`)"]}' ${url(0)}/v1/agent/service/register`,
    `  curl ${url(1)}/v1/health/service/web`,
    `  curl ${url(2)}/api/v1/traefik`,
    `  dig @127.0.0.1 -p ${nodes[0]?.plan.dnsPort} web.service.constellation`,
    `  constellation members --http-addr ${address(nodes[0]?.plan.httpPort ?? 0)}`,
    `  kill -9 ${leader?.pid}   # ${leader?.plan.name}, the leader: another node takes over`,
    '',
    'Ctrl-C stops the cluster.',
  ].join('\n')
}

/** Roles by node name, waiting a little for a leader to show. */
async function askRoles(
  nodes: readonly NodeProcess[],
  stop: AbortSignal,
): Promise<ReadonlyMap<string, unknown>> {
  const deadline = performance.now() + LEADER_TIMEOUT_MS
  const [first] = nodes
  for (;;) {
    let roles = new Map<string, unknown>()
    try {
      if (first !== undefined) {
        const api = clientOf(first)
        const answer = records(api.parse(await api.expect('/api/v1/nodes', { timeoutMs: 2000 })))
        roles = new Map(answer.map((node) => [String(record(node).name), record(node).role]))
      }
    } catch {
      // The table has dashes then; a node that stopped answering is reported by itself.
    }
    const complete =
      [...roles.values()].includes('leader') && nodes.every((node) => roles.has(node.plan.name))
    if (complete || stop.aborted || performance.now() >= deadline) return roles
    await pause(stop)
  }
}

/** Reports nodes that end, until a stop is asked for (0) or none is left (1). */
async function watch(
  nodes: readonly NodeProcess[],
  print: (text: string) => void,
  stop: AbortSignal,
): Promise<number> {
  const stopped = new Promise<void>((resolve) => {
    if (stop.aborted) resolve()
    else stop.addEventListener('abort', () => resolve(), { once: true })
  })
  const allGone = Promise.all(
    nodes.map(async (node) => {
      const reason = await node.exited
      if (stop.aborted) return
      const left = nodes.filter((other) => other.running).length
      const rest = left === 0 ? 'no node is left' : `${left} of ${nodes.length} nodes go on`
      print(`${node.plan.name} (pid ${node.pid}) ended: ${reason}; ${rest}`)
    }),
  )
  await Promise.race([stopped, allGone])
  return stop.aborted ? 0 : 1
}

async function stopAll(nodes: readonly NodeProcess[], collaborators: DevCollaborators): Promise<void> {
  const running = nodes.filter((node) => node.running)
  if (running.length === 0) return
  collaborators.print(`stopping ${running.length} nodes`)
  for (const node of running) node.kill('SIGTERM')
  const allExited = Promise.all(running.map((node) => node.exited))
  const patience = new AbortController()
  const expired = delay(STOP_TIMEOUT_MS, undefined, {
    signal: AbortSignal.any([patience.signal, collaborators.kill]),
  }).catch(() => {})
  await Promise.race([allExited, expired])
  patience.abort()
  for (const node of running.filter((each) => each.running)) {
    collaborators.print(`${node.plan.name} (pid ${node.pid}) did not stop in time and is killed`)
    node.kill('SIGKILL')
  }
  await allExited
}

function clientOf(node: NodeProcess): ApiClient {
  return new ApiClient(`127.0.0.1:${node.plan.httpPort}`, '--http-port')
}

function indent(lines: readonly string[]): string {
  return lines.length === 0
    ? '  (it said nothing)'
    : lines
        .slice(-10)
        .map((line) => `  ${line}`)
        .join('\n')
}

async function pause(stop: AbortSignal): Promise<void> {
  await delay(POLL_MS, undefined, { signal: stop }).catch(() => {})
}
