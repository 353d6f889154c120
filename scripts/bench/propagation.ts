import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { constants, loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { generateClusterKey } from '../../discovery/mesh/cluster-key.ts'
import { AgentProcess } from '../../test/real/agent-process.ts'
import { RealEngine } from '../../test/real/docker/engine.ts'
import { BUSYBOX } from '../../test/real/docker/image.ts'
import {
  enterOwnNamespace,
  HOST_ADDRESS,
  isInOwnNamespace,
  unavailable,
} from '../../test/real/docker/own-namespace.ts'
import { executable } from '../../test/real/executable.ts'
import { until } from '../../test/real/until.ts'
import { FOUNDERS, KEY_FILE } from './contenders.ts'
import { follow } from './document-followers.ts'
import { EngineEvents } from './engine-events.ts'
import { type Measured, type Sample, tableText } from './propagation-table.ts'

const HELP = `From what happens to a container on one host to the document for Traefik on every node: a Docker engine of its own, agents on
loopback, of which the first reads that engine. Needs root, dockerd, containerd, runc and busybox-static.

  npm run bench:propagation -- [options]

  --nodes A,B,C     how many agents (default 3,10,30)
  --repeat N        rounds (default 10)
  --executable F    the program (default dist/constellation, built if it is old)
  --json            print what was measured as JSON instead of a table in Markdown
  --help            print this

Examples:
  npm run bench:propagation
  npm run bench:propagation -- --nodes 3 --repeat 3
`

/** Longer than providers.traefik.settle, so that no change is collected with the one before. */
const APART_MS = 1_200
const SETTLE_MS = 5_000
const READY_MS = 180_000
const PORTS = { http: 8500, mesh: 7946, dns: 8600 }
const MARKER = '/ok'

/** What is done to a container, and what follows. */
interface Act {
  readonly title: string
  readonly container: string
  /** Whether the container's server is to be in the document afterwards. */
  readonly isServed: boolean
  /** The event of the engine that says it has happened. */
  readonly event: string
  run(engine: RealEngine): Promise<unknown>
}

const WEB = { container: 'web', port: 18080 }
const CHECKED = { container: 'checked', port: 18081 }

const ACTS: readonly Act[] = [
  {
    title: '`docker stop -t 0`',
    container: WEB.container,
    isServed: false,
    event: 'die',
    run: (engine) => engine.client.getContainer(WEB.container).stop({ t: 0 }),
  },
  start(),
  {
    title: '`docker kill`',
    container: WEB.container,
    isServed: false,
    event: 'die',
    run: (engine) => engine.client.getContainer(WEB.container).kill(),
  },
  start(),
  {
    title: 'HEALTHCHECK fails',
    container: CHECKED.container,
    isServed: false,
    event: 'health_status: unhealthy',
    run: (engine) => engine.exec(CHECKED.container, '/bin/rm', MARKER),
  },
  {
    title: 'HEALTHCHECK succeeds',
    container: CHECKED.container,
    isServed: true,
    event: 'health_status: healthy',
    run: (engine) => engine.exec(CHECKED.container, '/bin/touch', MARKER),
  },
]

function start(): Act {
  const { container } = WEB
  const run = (engine: RealEngine) => engine.client.getContainer(container).start()
  return { title: '`docker start`', container, isServed: true, event: 'start', run }
}

const running = new Set<AgentProcess>()
const folders = new Set<string>()
const stopping = new AbortController()

async function measure(
  engine: RealEngine,
  events: EngineEvents,
  nodes: number,
  repetitions: number,
  program: string,
): Promise<Measured> {
  stopping.signal.throwIfAborted()
  const folder = mkdtempSync(join(tmpdir(), 'constellation-propagation-'))
  folders.add(folder)
  const keyFile = join(folder, KEY_FILE)
  writeFileSync(keyFile, `${generateClusterKey()}\n`, { mode: 0o600 })
  const agents = Array.from({ length: nodes }, (_, i) =>
    agentOf(i, nodes, { folder, keyFile, program, engine }),
  )
  const loadBefore = loadavg()[0] ?? Number.NaN
  try {
    for (const agent of agents) {
      running.add(agent)
      agent.start()
    }
    for (const agent of agents) {
      await until(`${agent.name} serves both containers`, () => isReady(agent, nodes), {
        timeoutMs: READY_MS,
        intervalMs: 200,
        state: () => agent.ask('/api/v1/traefik').then(({ text }) => text, String),
      })
    }
    await delay(SETTLE_MS)
    const samples: Sample[] = []
    for (let i = 0; i < repetitions; i++) {
      for (const act of ACTS) {
        stopping.signal.throwIfAborted()
        samples.push(await sample(engine, events, agents, act))
        await delay(APART_MS)
      }
    }
    return { nodes, loadBefore, loadAfter: loadavg()[0] ?? Number.NaN, samples }
  } finally {
    await endAgents()
  }
}

async function endAgents(): Promise<void> {
  await Promise.all([...running].map((agent) => agent.kill()))
  running.clear()
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  folders.clear()
}

interface Place {
  readonly folder: string
  readonly keyFile: string
  readonly program: string
  readonly engine: RealEngine
}

function agentOf(index: number, nodes: number, { folder, keyFile, program, engine }: Place): AgentProcess {
  const name = `n${index + 1}`
  const founders = Math.min(FOUNDERS, nodes)
  const seeds = Array.from({ length: founders }, (_, i) => i).filter((i) => i !== index)
  return new AgentProcess({
    name,
    program,
    host: hostOf(index),
    ports: PORTS,
    dataDir: join(folder, name),
    logFile: join(folder, `${name}.log`),
    args: [
      ...seeds.flatMap((i) => ['--join', `${hostOf(i)}:${PORTS.mesh}`]),
      ...['--bootstrap-expect', String(founders), '--cluster-key-file', keyFile],
    ],
    env: {
      CONSTELLATION_PROVIDERS_TRAEFIK: 'true',
      ...(index > 0
        ? {}
        : {
            CONSTELLATION_PROVIDERS_DOCKER: 'true',
            CONSTELLATION_PROVIDERS_DOCKER_SOCKET: engine.socket,
            CONSTELLATION_PROVIDERS_DOCKER_ADDRESS: HOST_ADDRESS,
          }),
    },
  })
}

function hostOf(index: number): string {
  return `127.0.1.${index + 1}`
}

async function isReady(agent: AgentProcess, nodes: number): Promise<boolean> {
  const [status, members, { text }] = await Promise.all([
    agent.status(),
    agent.nodes(),
    agent.ask('/api/v1/traefik'),
  ])
  const alive = members.filter((each) => each.status === 'alive').length
  return status.ready && alive === nodes && isServed(text, WEB.container) && isServed(text, CHECKED.container)
}

function isServed(body: string, container: string): boolean {
  const { port } = container === WEB.container ? WEB : CHECKED
  return body.includes(`http://${HOST_ADDRESS}:${port}`)
}

async function sample(
  engine: RealEngine,
  events: EngineEvents,
  agents: readonly AgentProcess[],
  act: Act,
): Promise<Sample> {
  let commandAt = 0
  let returned: Promise<unknown> = Promise.resolve()
  const isSo = (body: string) => isServed(body, act.container) === act.isServed
  const { at } = await follow(agents, act.container, isSo, async () => {
    commandAt = Date.now()
    returned = act.run(engine)
    returned.catch(() => {})
  })
  await returned
  const eventAt = await events.last(act.container, act.event, commandAt - 1)
  return {
    title: act.title,
    event: act.event,
    commandToEvent: eventAt - commandAt,
    commandToAll: Math.max(...at) - commandAt,
    eventToFirst: (at[0] ?? Number.NaN) - eventAt,
    eventToAll: Math.max(...at) - eventAt,
  }
}

interface Options {
  readonly nodes: string
  readonly repeat: string
  readonly executable?: string
  readonly json: boolean
}

async function compare(engine: RealEngine, options: Options): Promise<number> {
  const program = options.executable === undefined ? await executable() : resolve(options.executable)
  await engine.start()
  await engine.load()
  const events = new EngineEvents()
  await events.follow(engine)
  const labels = { 'traefik.enable': 'true' }
  await engine.run(WEB.container, { publish: { '80/tcp': `:${WEB.port}` }, labels })
  await engine.run(CHECKED.container, {
    publish: { '80/tcp': `:${CHECKED.port}` },
    healthyWhile: MARKER,
    labels,
  })
  await engine.exec(CHECKED.container, '/bin/touch', MARKER)
  const results: Measured[] = []
  for (const nodes of options.nodes.split(',').map(Number)) {
    process.stderr.write(`${nodes} nodes\n`)
    const measured = await measure(engine, events, nodes, Number(options.repeat), program)
    results.push(measured)
    // So that what is known is not lost should a later size fail.
    process.stderr.write(`${tableText([measured])}\n`)
  }
  process.stdout.write(`${options.json ? JSON.stringify(results, null, 2) : tableText(results)}\n`)
  return 0
}

/** The exit code for the first signal to end. What waits for something then is left waiting. */
function interruption(): Promise<number> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (stopping.signal.aborted) return
        stopping.abort()
        process.stderr.write(`ended by ${signal}\n`)
        resolve(128 + constants.signals[signal])
      })
    }
  })
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: '3,10,30' },
      repeat: { type: 'string', default: '10' },
      executable: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  const missing = unavailable(['dockerd', 'containerd', 'runc', BUSYBOX])
  if (missing !== null) {
    process.stderr.write(`${missing}\n`)
    return 1
  }
  if (!isInOwnNamespace()) return enterOwnNamespace()
  const engine = new RealEngine('docker')
  try {
    return await Promise.race([interruption(), compare(engine, values)])
  } finally {
    await endAgents()
    await engine.close()
  }
}

process.on('exit', () => {
  for (const agent of running) agent.signal('SIGKILL')
})
process.exitCode = await main()
// The stream of events keeps the process.
process.exit()
