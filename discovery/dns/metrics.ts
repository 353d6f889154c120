import { Counter, Gauge, type Registry } from 'prom-client'
import type { Transport } from './message.ts'
import { RCODES } from './records.ts'

/** What the gauges show when they are read. */
export interface DnsGauges {
  readonly recursionsInFlight: () => number
  readonly connections: () => number
}

/** Counts what the DNS server does; without a registry nothing is counted. */
export class DnsMetrics {
  readonly #queries: Counter<'transport' | 'rcode'> | null = null
  readonly #forwarded: Counter<'transport'> | null = null

  constructor(registry: Registry | undefined, gauges: DnsGauges) {
    if (registry === undefined) return
    const registers = [registry]
    this.#queries = new Counter({
      name: 'constellation_dns_queries_total',
      help: 'DNS queries answered, by transport and response code.',
      labelNames: ['transport', 'rcode'],
      registers,
    })
    this.#forwarded = new Counter({
      name: 'constellation_dns_forwarded_total',
      help: 'DNS queries answered with the response of a recursor, by transport.',
      labelNames: ['transport'],
      registers,
    })
    new Gauge({
      name: 'constellation_dns_recursions_in_flight',
      help: 'Questions that recursors are being asked.',
      registers,
      collect() {
        this.set(gauges.recursionsInFlight())
      },
    })
    new Gauge({
      name: 'constellation_dns_connections',
      help: 'Open TCP connections of DNS clients.',
      registers,
      collect() {
        this.set(gauges.connections())
      },
    })
  }

  answered(transport: Transport, rcode: string): void {
    this.#queries?.inc({ transport, rcode })
  }

  /** @param rcode as in the header of the response */
  forwarded(transport: Transport, rcode: number): void {
    this.answered(transport, NAMES.get(rcode) ?? 'OTHER')
    this.#forwarded?.inc({ transport })
  }
}

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(RCODES).map(([name, code]) => [code, name]))
