import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { FlapDamper } from './core/flap-damper.ts'
import type { TallyCounts } from './core/tally.ts'
import type { Member, MemberStatus } from './types.ts'

const RTT_BUCKETS_S = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]
const STATUSES: readonly MemberStatus[] = ['alive', 'suspect', 'failed', 'left']

/** What the metrics read when they are scraped. */
export interface MembershipReadings {
  members(): readonly Member[]
  healthScore(): number
  queued(): number
  /** Undefined while the membership does not run. */
  counts(): TallyCounts | undefined
  rejectedCoordinates(): number
  flaps(): Pick<FlapDamper, 'flaps' | 'coalesced' | 'flapping'> | undefined
  now(): number
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
  /** News that was left out because its incarnation cannot be. */
  readonly implausible: Counter
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
    this.implausible = new Counter({
      name: 'constellation_swim_implausible_updates_total',
      help: 'News of members with an incarnation they cannot have',
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
    registerCounts(registry, readings)
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

/** Counters that are kept elsewhere and read when they are scraped; they begin anew with the membership. */
function registerCounts(registry: Registry, readings: MembershipReadings): void {
  const registers = [registry]
  const counter = (name: string, help: string, read: () => number): void => {
    new Counter({
      name: `constellation_swim_${name}_total`,
      help,
      registers,
      collect() {
        this.reset()
        this.inc(read())
      },
    })
  }
  new Counter({
    name: 'constellation_swim_probes_total',
    help: 'Probes that ended, by who answered',
    labelNames: ['result'],
    registers,
    collect() {
      this.reset()
      for (const result of ['answered', 'relayed', 'silent'] as const) {
        this.inc({ result }, readings.counts()?.[result] ?? 0)
      }
    },
  })
  new Counter({
    name: 'constellation_swim_suspicions_total',
    help: 'Members that became suspect, by who said so first',
    labelNames: ['origin'],
    registers,
    collect() {
      this.reset()
      this.inc({ origin: 'own' }, readings.counts()?.raised ?? 0)
      this.inc({ origin: 'heard' }, readings.counts()?.heard ?? 0)
    },
  })
  counter(
    'suspicions_refuted',
    'Suspicions that ended with the member alive',
    () => readings.counts()?.refuted ?? 0,
  )
  counter(
    'false_suspicions',
    'Suspicions this node raised and the member refuted',
    () => readings.counts()?.falselyRaised ?? 0,
  )
  counter(
    'refutations',
    'Times this node had to refute what was said of it',
    () => readings.counts()?.refutations ?? 0,
  )
  counter('rejected_coordinates', 'Network coordinates no node can have', () =>
    readings.rejectedCoordinates(),
  )
  counter('flaps', 'Times a member came back within a minute of going', () => readings.flaps()?.flaps ?? 0)
  counter(
    'coalesced_events',
    'Changes of flapping members not told one by one',
    () => readings.flaps()?.coalesced ?? 0,
  )
  new Gauge({
    name: 'constellation_swim_flapping_members',
    help: 'Members that came back at least once within the last minute',
    registers,
    collect() {
      this.set(readings.flaps()?.flapping(readings.now()).length ?? 0)
    },
  })
}
