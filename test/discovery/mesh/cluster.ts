import { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { generateClusterKey, parseClusterKey } from '../../../discovery/mesh/cluster-key.ts'
import { Libp2pMesh, type Libp2pMeshOptions } from '../../../discovery/mesh/libp2p-mesh.ts'
import type { PeerEvent } from '../../../discovery/mesh/types.ts'
import { runsMs } from '../../held-up.ts'

/** The part of a tap test these helpers use. */
export interface TestScope {
  testdir(): string
  teardown(fn: () => unknown): void
}

/** One line of the log of a node under test. */
export interface LogLine {
  readonly level: number
  readonly msg: string
  readonly [field: string]: unknown
}

export const WARN = 40
export const INFO = 30

/** A logger that keeps its lines. */
export function capturedLog(level = 'info') {
  const lines: LogLine[] = []
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)))
      done()
    },
  })
  return { lines, log: pino({ level }, stream) }
}

/** The key of the cluster most tests share. */
export const KEY = parseClusterKey(generateClusterKey())

let directories = 0

/** A node with its log, metrics and events, stopped when the test ends. `now` is a clock in place of that of the process. */
export async function makeNode(
  t: TestScope,
  base: string,
  options: Partial<Libp2pMeshOptions> = {},
  level = 'info',
  now?: () => number,
) {
  const { lines, log } = capturedLog(level)
  const metrics = new Registry()
  directories += 1
  const mesh = await Libp2pMesh.create(
    {
      dataDir: `${base}/node-${directories}`,
      clusterName: 'home',
      keys: [KEY],
      listen: { host: '127.0.0.1', port: 0 },
      advertise: null,
      ...options,
    },
    { log, metrics, ...(now === undefined ? {} : { now }) },
  )
  const events: PeerEvent[] = []
  mesh.onPeer((event) => events.push(event))
  t.teardown(() => mesh.stop())
  return { mesh, lines, metrics, events }
}

/** Waits until the condition holds; fails with what `state` says after the deadline, in which this process has run. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  state: () => unknown = () => '',
  deadlineMs = 20_000,
): Promise<void> {
  const end = runsMs() + deadlineMs
  while (!(await condition())) {
    if (runsMs() > end) throw new Error(`not within ${deadlineMs} ms: ${JSON.stringify(state())}`)
    await sleep(5)
  }
}

/** The value of a counter or gauge with these labels; 0 when it was never touched. */
export async function metric(
  registry: Registry,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  const found = await registry.getSingleMetric(name)?.get()
  const match = found?.values.find((value) =>
    Object.entries(labels).every(([key, text]) => (value.labels as Record<string, unknown>)[key] === text),
  )
  return match?.value ?? 0
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
export const text = (data: Uint8Array): string => new TextDecoder().decode(data)
