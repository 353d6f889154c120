import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { runDev } from '../../../agent/cli/dev/cluster.ts'
import { openFolder } from '../../../agent/cli/dev/folder.ts'
import { warningText } from '../../../agent/cli/dev/log-tail.ts'
import { nodeEnvironment } from '../../../agent/cli/dev/node-process.ts'
import { planNodes, portsOf } from '../../../agent/cli/dev/plan.ts'
import { findBusyPort } from '../../../agent/cli/dev/ports.ts'
import { constellation } from './run.ts'

const FAKE_AGENT = fileURLToPath(new URL('fake-agent.ts', import.meta.url))
const FAKE_DEV = fileURLToPath(new URL('fake-dev.ts', import.meta.url))

/** A port P for which every port `dev` derives from it for three nodes is free right now. None that the system hands out. */
async function freeHttpPort(): Promise<number> {
  for (let port = 12_000 + (process.pid % 15_000); port < 32_000; port += 137) {
    if ((await findBusyPort(planNodes(4, port).flatMap(portsOf))) === null) return port
  }
  throw new Error('no free ports')
}

async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  timeoutMs = 20_000,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const answer = await ask()
    if (answer !== null && answer !== undefined && answer !== false) return answer as NonNullable<T>
    if (performance.now() > deadline) throw new Error(`timed out waiting: ${what}`)
    await delay(20)
  }
}

interface Start {
  readonly pid: number
  readonly node: string
  readonly join?: readonly string[]
  readonly 'bootstrap-expect'?: string
  readonly 'log-level': string
  readonly env?: string
}

function starts(folder: string): readonly Start[] {
  const file = join(folder, 'starts.jsonl')
  if (!existsSync(file)) return []
  // A line that is being written is not there yet.
  return readFileSync(file, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** `dev` with fake agents in this process. */
function startDev(options: { dataDir: string | null; nodes?: number | null; httpPort: number }) {
  const stop = new AbortController()
  const kill = new AbortController()
  let text = ''
  const result = runDev(
    { logLevel: 'warn', nodes: null, ...options },
    {
      program: { command: process.execPath, args: [FAKE_AGENT] },
      print: (line) => {
        text += `${line}\n`
      },
      stop: stop.signal,
      kill: kill.signal,
    },
  )
  const ready = () => until(`the table in\n${text}`, () => text.includes('Ctrl-C stops the cluster'))
  return { stop, kill, result, ready, text: () => text }
}

t.test('ports follow n1 and never meet', (t) => {
  t.strictSame(planNodes(2, 8500), [
    { name: 'n1', httpPort: 8500, meshPort: 7946, dnsPort: 8600 },
    { name: 'n2', httpPort: 8510, meshPort: 7956, dnsPort: 8610 },
  ])
  t.strictSame(planNodes(1, 18500), [{ name: 'n1', httpPort: 18500, meshPort: 17946, dnsPort: 18600 }])
  t.equal(planNodes(10, 8500).length, 10)
  const usage = { code: 'CLI_USAGE', exitCode: 64 }
  t.throws(() => planNodes(11, 8500), {
    ...usage,
    message: 'port 8600 would be DNS of n1 and HTTP of n11; use fewer --nodes',
  })
  t.throws(() => planNodes(1, 500), {
    ...usage,
    message: 'port -54 (mesh of n1) is out of range; choose another --http-port',
  })
  t.throws(() => planNodes(1, 65500), {
    ...usage,
    message: 'port 65600 (DNS of n1) is out of range; choose another --http-port',
  })
  t.end()
})

t.test('a busy port is named, TCP or UDP, and nothing is started', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  const busy = await constellation(['dev', '--http-port', String(port)])
  t.strictSame(busy, {
    code: 1,
    out: '',
    err: `constellation: port ${port} (HTTP of n1) is in use; choose another with --http-port\n`,
  })
  server.close()
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  const plan = { name: 'n1', httpPort: 0, meshPort: 0, dnsPort: socket.address().port }
  t.strictSame(await findBusyPort(portsOf(plan)), { port: plan.dnsPort, use: 'DNS of n1', udp: true })
  socket.close()
})

t.test('three nodes: ready, a table, a death, and an end that leaves nothing', async (t) => {
  const httpPort = await freeHttpPort()
  const before = new Set(readdirSync(tmpdir()))
  const dev = startDev({ dataDir: null, httpPort })
  await dev.ready()
  const text = dev.text()
  const folder = /state and logs in (\S+) \(removed at the end\)/.exec(text)?.[1] ?? ''
  t.match(text, /starting 3 nodes/)
  t.match(text, /3 of 3 nodes are ready/)
  t.match(
    text,
    new RegExp(
      `^n2    leader    127\\.0\\.0\\.1:${httpPort + 10} +127\\.0\\.0\\.1:${httpPort - 544} +127\\.0\\.0\\.1:${httpPort + 110} +\\d+$`,
      'm',
    ),
  )
  await until('the warning of n1', () => /^n1: WARN loud line$/m.test(dev.text()))
  t.notMatch(text, /quiet line/)
  t.equal(statSync(join(folder, 'cluster.key')).mode & 0o777, 0o600)
  t.match(readFileSync(join(folder, 'n3.log'), 'utf8'), /quiet line/)
  const leader = starts(folder).find((start) => start.node === 'n2')
  t.match(text, new RegExp(`kill -9 ${leader?.pid} `), 'the command to kill the leader')
  const meshPort = httpPort - 554
  t.match(leader, {
    'bootstrap-expect': '3',
    join: [`127.0.0.1:${meshPort}`, `127.0.0.1:${meshPort + 20}`],
    'log-level': 'warn',
  })

  process.kill(leader?.pid ?? 0, 'SIGKILL')
  await until('the report', () =>
    dev.text().includes(`n2 (pid ${leader?.pid}) ended: signal SIGKILL; 2 of 3 nodes go on`),
  )
  const pids = starts(folder).map((start) => start.pid)
  t.strictSame(pids.filter(isAlive).length, 2, 'the others go on')

  dev.stop.abort()
  t.equal(await dev.result, 0)
  t.strictSame(pids.filter(isAlive), [])
  t.notOk(existsSync(folder))
  t.strictSame(
    readdirSync(tmpdir()).filter((name) => name === folder.split('/').at(-1) && !before.has(name)),
    [],
  )
})

t.test('a node that dies before it is ready ends everything with the end of its log', async (t) => {
  const dataDir = t.testdir({ 'die-n2': '' })
  const dev = startDev({ dataDir, httpPort: await freeHttpPort() })
  t.equal(await dev.result, 1)
  t.match(
    dev.text(),
    /n2 ended before it was ready \(exit code 3\)\. The end of its log:\n(.*\n)* {2}Error: cannot go on\n/,
  )
  t.strictSame(
    starts(dataDir)
      .map((start) => start.pid)
      .filter(isAlive),
    [],
  )
})

t.test('when no node is left, dev ends with 1', async (t) => {
  const dataDir = t.testdir({})
  const dev = startDev({ dataDir, nodes: 1, httpPort: await freeHttpPort() })
  await dev.ready()
  process.kill(starts(dataDir)[0]?.pid ?? 0, 'SIGKILL')
  t.equal(await dev.result, 1)
  t.match(dev.text(), /n1 \(pid \d+\) ended: signal SIGKILL; no node is left/)
})

t.test('a node that ignores SIGTERM is killed when the operator insists', async (t) => {
  const dataDir = t.testdir({ 'stubborn-n1': '' })
  const dev = startDev({ dataDir, nodes: 2, httpPort: await freeHttpPort() })
  await dev.ready()
  dev.stop.abort()
  await until('n2 ended', () => existsSync(join(dataDir, 'ends.log')))
  dev.kill.abort()
  t.equal(await dev.result, 0)
  t.match(dev.text(), /n1 \(pid \d+\) did not stop in time and is killed/)
  t.strictSame(
    starts(dataDir)
      .map((start) => start.pid)
      .filter(isAlive),
    [],
  )
})

t.test('dev killed with -9: its nodes end, the folder opens again and may grow', async (t) => {
  const dataDir = t.testdir({})
  const httpPort = await freeHttpPort()
  const first = spawn(process.execPath, [FAKE_DEV, dataDir, String(httpPort), '1'], { stdio: 'ignore' })
  t.teardown(() => first.kill('SIGKILL'))
  const pid = (await until('the node started', () => starts(dataDir)[0])).pid
  await until('the node answers', () => fetch(`http://127.0.0.1:${httpPort}/readyz`).catch(() => null))
  first.kill('SIGKILL')
  await until('the node ended with its parent', () => !isAlive(pid))
  t.equal(readFileSync(join(dataDir, 'ends.log'), 'utf8'), 'n1 parent gone\n')
  const key = readFileSync(join(dataDir, 'cluster.key'), 'utf8')

  const grown = startDev({ dataDir, nodes: 3, httpPort })
  await grown.ready()
  grown.stop.abort()
  t.equal(await grown.result, 0)
  t.match(grown.text(), / \(kept\)/)
  t.equal(readFileSync(join(dataDir, 'cluster.key'), 'utf8'), key)
  const meshPort = httpPort - 554
  const [n1, n2, n3] = starts(dataDir)
    .slice(1)
    .toSorted((a, b) => a.node.localeCompare(b.node))
  t.match(n1, { 'bootstrap-expect': '1', join: undefined }, 'the node that made the cluster')
  t.match(n2, {
    'bootstrap-expect': undefined,
    join: [`127.0.0.1:${meshPort}`, `127.0.0.1:${meshPort + 20}`],
  })
  t.match(n3, {
    'bootstrap-expect': undefined,
    join: [`127.0.0.1:${meshPort}`, `127.0.0.1:${meshPort + 10}`],
  })

  t.throws(() => openFolder(dataDir, 2), {
    code: 'CLI_USAGE',
    message: `${dataDir} holds a cluster of 3 nodes; --nodes may grow, but not shrink to 2`,
  })
  t.match(openFolder(dataDir, null), { nodes: 3, firstNodes: 1, reused: true })
})

t.test('a folder of something else is refused', (t) => {
  const folder = t.testdir({ 'dev.json': '{"nodes":"x"}' })
  t.throws(() => openFolder(folder, 3), {
    code: 'CLI_FAILED',
    message: /dev\.json was not written by constellation dev/,
  })
  rmSync(join(folder, 'dev.json'))
  writeFileSync(join(folder, 'dev.json.tmp'), '{"no')
  t.match(openFolder(folder, null), { nodes: 3, firstNodes: 3, reused: false }, 'a torn write is nothing')
  t.end()
})

t.test('what of a log reaches the terminal', (t) => {
  t.equal(warningText('{"level":30,"msg":"x"}'), null)
  t.equal(warningText(''), null)
  t.equal(warningText('{"level":40,"msg":"x"}'), 'WARN x')
  t.equal(warningText('{"level":50,"msg":"x","err":{"message":"why"}}'), 'ERROR x: why')
  t.equal(warningText('Error: crash'), 'Error: crash')
  t.equal(warningText('null'), 'null')
  t.end()
})

t.test('the environment of a node: nothing of ours or of systemd', (t) => {
  const env = {
    PATH: '/bin',
    CONSTELLATION_NODE_NAME: 'x',
    NOTIFY_SOCKET: 's',
    STATE_DIRECTORY: 'd',
    LISTEN_FDS: '1',
  }
  t.strictSame(nodeEnvironment(env), { PATH: '/bin', CONSTELLATION_PARENT_PIPE: '1' })
  t.end()
})
