import { setTimeout as delay } from 'node:timers/promises'
import { type Logger, pino } from 'pino'
import type {
  HealthCheck,
  LocalCatalog,
  NodeRecord,
  ServiceInstance,
} from '../../../discovery/catalog/types.ts'
import type { AliasSource } from '../../../discovery/health/alias-check.ts'
import type { HttpKind } from '../../../discovery/health/http-probe.ts'
import { NameLookup } from '../../../discovery/health/name-lookup.ts'
import type { TcpKind } from '../../../discovery/health/tcp-probe.ts'
import type { Timers } from '../../../discovery/health/timers.ts'
import type { CheckDefinition } from '../../../discovery/health/types.ts'
import { runsMs } from '../../held-up.ts'

/** A node's record in memory that remembers every check written to it. */
export class FakeLocal implements LocalCatalog {
  readonly services = new Map<string, ServiceInstance>()
  readonly checks = new Map<string, HealthCheck>()
  readonly writes: HealthCheck[] = []

  async flush(): Promise<void> {}

  record(): NodeRecord {
    return {
      id: 'peer-1',
      name: 'n1',
      address: '127.0.0.1',
      version: { incarnation: 1, sequence: this.writes.length },
      meta: {},
      services: this.services,
      checks: this.checks,
    }
  }

  putService(service: ServiceInstance): void {
    this.services.set(service.id, service)
  }

  removeService(id: string): boolean {
    for (const check of [...this.checks.values()]) if (check.serviceId === id) this.checks.delete(check.id)
    return this.services.delete(id)
  }

  putCheck(check: HealthCheck): void {
    this.checks.set(check.id, check)
    this.writes.push(check)
  }

  removeCheck(id: string): boolean {
    return this.checks.delete(id)
  }

  status(id: string): string | undefined {
    return this.checks.get(id)?.status
  }
}

/** A catalogue that knows nobody. */
export const EMPTY_CATALOG: AliasSource = {
  synced: true,
  node: () => undefined,
  instancesOn: () => [],
  checksOn: () => [],
  onChange: () => () => {},
}

/** A clock that moves only when told to. */
export class FakeTimers implements Timers {
  #now = 0
  #timers: { at: number; fire: () => void }[] = []

  now(): number {
    return this.#now
  }

  after(delayMs: number, fire: () => void) {
    const timer = { at: this.#now + delayMs, fire }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      },
    }
  }

  /** Milliseconds until each armed timer fires, soonest first. */
  pending(): number[] {
    return this.#timers.map((timer) => timer.at - this.#now).sort((a, b) => a - b)
  }

  /** The process stands still: what comes due meanwhile fires late, when the clock next advances. */
  stall(ms: number): void {
    this.#now += ms
  }

  advance(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const next = this.#timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#timers = this.#timers.filter((timer) => timer !== next)
      this.#now = Math.max(this.#now, next.at)
      next.fire()
    }
    this.#now = end
  }
}

/** A logger whose lines can be looked through. */
export function memoryLog(): { log: Logger; lines: string[] } {
  const lines: string[] = []
  return { log: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }), lines }
}

export function service(id: string): ServiceInstance {
  return {
    id,
    name: id,
    tags: [],
    address: '',
    port: 80,
    meta: {},
    weights: { passing: 1, warning: 1 },
    enableTagOverride: false,
    taggedAddresses: {},
  }
}

export function definition(
  part: Pick<CheckDefinition, 'id' | 'kind'> & Partial<CheckDefinition>,
): CheckDefinition {
  return {
    name: `check ${part.id}`,
    notes: '',
    serviceId: '',
    initialStatus: 'critical',
    intervalMs: part.kind.type === 'ttl' ? 0 : 10_000,
    timeoutMs: 0,
    intervalText: part.kind.type === 'ttl' ? '' : '10s',
    timeoutText: '',
    thresholds: { successBeforePassing: 0, failuresBeforeWarning: 0, failuresBeforeCritical: 0 },
    deregisterAfterMs: 0,
    outputMax: 4_096,
    ...part,
  }
}

/** The names of this machine. */
export const names = new NameLookup()

/** What a check that does not speak of TLS has. */
export const TLS_VERIFIED = { tlsSkipVerify: false, tlsServerName: '' }

export function tcpKind(address: string, part: Partial<TcpKind> = {}): TcpKind {
  return { type: 'tcp', address, useTls: false, ...TLS_VERIFIED, ...part }
}

export function httpKind(url: string, part: Partial<HttpKind> = {}): HttpKind {
  return {
    type: 'http',
    url,
    method: '',
    headers: {},
    body: '',
    disableRedirects: false,
    ...TLS_VERIFIED,
    ...part,
  }
}

/** Patience, not a bound on how long something may take: a machine may be busy with something else. */
const PATIENCE_MS = 20_000

/** Polls until `condition` holds; fails with `state()` when patience ends. */
export async function until(condition: () => boolean, state: () => unknown = () => ''): Promise<void> {
  const deadline = runsMs() + PATIENCE_MS
  while (!condition()) {
    if (runsMs() > deadline) throw new Error(`not within ${PATIENCE_MS / 1000} s: ${JSON.stringify(state())}`)
    await delay(5)
  }
}
