import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Member, MemberStatus } from './types.ts'

const RTT_BUCKETS_S = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]
const STATUSES: readonly MemberStatus[] = ['alive', 'suspect', 'failed', 'left']

/** What the metrics read when they are scraped. */
export interface MembershipReadings {
  members(): readonly Member[]
  healthScore(): number
  queued(): number
}

/** The metrics of the membership. Without a registry they count for nobody. */
export class MembershipMetrics {
  /** Messages that could not be read, by channel. */
  readonly rejected: Counter<'channel'>
  /** Messages the mesh did not take. */
  readonly dropped: Counter
  /** From a ping to the answer of its target, in seconds. */
  readonly rtt: Histogram
  /** Pairs of nodes that claim one name. */
  readonly conflicts: Counter
  /** Members given up as seen here. */
  readonly failures: Counter

  constructor(registry: Registry | undefined, readings: MembershipReadings) {
    const registers = registry ? [registry] : []
    this.rejected = new Counter({
      name: 'constellation_swim_rejected_messages_total',
      help: 'Membership messages that could not be read',
      labelNames: ['channel'],
      registers,
    })
    this.dropped = new Counter({
      name: 'constellation_swim_dropped_messages_total',
      help: 'Membership messages the mesh did not take',
      registers,
    })
    this.failures = new Counter({
      name: 'constellation_swim_failures_total',
      help: 'Members seen to fail',
      registers,
    })
    this.conflicts = new Counter({
      name: 'constellation_swim_name_conflicts_total',
      help: 'Pairs of living nodes seen to claim one name',
      registers,
    })
    this.rtt = new Histogram({
      name: 'constellation_swim_rtt_seconds',
      help: 'From a ping to the answer of the member itself',
      buckets: RTT_BUCKETS_S,
      registers,
    })
    if (!registry) return
    new Gauge({
      name: 'constellation_swim_members',
      help: 'Members by status',
      labelNames: ['status'],
      registers,
      collect() {
        for (const status of STATUSES) {
          this.set({ status }, readings.members().filter((m) => m.status === status).length)
        }
      },
    })
    new Gauge({
      name: 'constellation_swim_health_score',
      help: 'How much this node distrusts itself: 0 healthy to 8',
      registers,
      collect() {
        this.set(readings.healthScore())
      },
    })
    new Gauge({
      name: 'constellation_swim_queued_updates',
      help: 'Updates waiting to be gossiped',
      registers,
      collect() {
        this.set(readings.queued())
      },
    })
  }
}
