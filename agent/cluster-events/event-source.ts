import { CORDONS, type ConsensusClient, type ConsensusStatus } from '../../consensus/client.ts'
import type { LeaseInfo } from '../../consensus/leases.ts'
import type { CatalogInstance } from '../../discovery/catalog/types.ts'
import type { UserEvents } from '../../discovery/events/types.ts'
import type { Member, Membership } from '../../discovery/membership/types.ts'
import type { ClusterEventLog } from './event-log.ts'

/** What {@link ClusterEventSource} follows. */
export interface ClusterEventSourceCollaborators {
  readonly events: Pick<ClusterEventLog, 'add'>
  readonly membership: Pick<Membership, 'members' | 'get' | 'local' | 'onChange'>
  readonly catalog: {
    /** Records were exchanged with another node, or there is none. */
    readonly synced: boolean
    services(): ReadonlyMap<string, unknown>
    instances(service: string): readonly CatalogInstance[]
    onServices(listener: (names: ReadonlySet<string>) => void): () => void
  }
  readonly client: Pick<ConsensusClient, 'status' | 'onStatus' | 'watch'>
  readonly leases: { list(): readonly LeaseInfo[]; onChange(listener: () => void): () => void }
  readonly userEvents: Pick<UserEvents, 'list' | 'onEvent'>
  /** Log index up to which this node had applied what was committed when it found the leader; null until it has. */
  readonly caughtUpIndex: () => number | null
}

interface Seen {
  readonly up: boolean
  readonly data: Readonly<Record<string, unknown>>
}

/**
 * Turns what changes in membership, catalogue, leases and leadership into events, from the moment it is started. A node that
 * starts learns what the others have known for long: decisions that it catches up with, and services that it hears of in its
 * first exchange, are no events.
 */
export class ClusterEventSource {
  readonly #with: ClusterEventSourceCollaborators
  /** Instances by service, by node and id. */
  readonly #seen = new Map<string, Map<string, Seen>>()
  #holders = new Map<string, LeaseInfo>()
  #leader: string | null = null
  #cordoned = new Map<string, 'cordoned' | 'draining'>()
  readonly #waiting = new Set<string>()
  #lastUserEvent: string | null = null
  #stops: (() => void)[] = []

  constructor(collaborators: ClusterEventSourceCollaborators) {
    this.#with = collaborators
  }

  async start(): Promise<void> {
    if (this.#stops.length > 0) return
    const { membership, catalog, client, leases, userEvents } = this.#with
    for (const name of catalog.services().keys()) this.#seen.set(name, statesOf(catalog.instances(name)))
    this.#holders = new Map(leases.list().map((lease) => [lease.name, lease]))
    this.#leader = client.status().leader
    this.#cordoned = cordonsOf(client.status())
    this.#lastUserEvent = userEvents.list().at(-1)?.id ?? null
    this.#stops = [
      membership.onChange((member, previous) => this.#member(member, previous)),
      catalog.onServices((names) => this.#touched(names)),
      client.onStatus((status) => this.#status(status)),
      client.watch(CORDONS, () => this.#cordons()),
      leases.onChange(() => this.#leases()),
      userEvents.onEvent(() => this.#userEvents()),
    ]
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops) stop()
    this.#stops = []
  }

  #member(member: Member, previous: Member | undefined): void {
    const { membership, events } = this.#with
    if (member.id === membership.local().id || member.status === previous?.status) return
    const data = { node: member.name, id: member.id, address: member.address }
    const wasThere = previous !== undefined && previous.status !== 'left'
    if (member.status === 'suspect') events.add('node-suspected', data)
    else if (member.status === 'failed') events.add('node-failed', data)
    else if (member.status === 'alive') events.add(wasThere ? 'node-recovered' : 'node-joined', data)
    else if (wasThere) events.add('node-left', data)
  }

  /** Looked at when this turn is over, so that what happened to a node is told before what that did to its services. */
  #touched(names: ReadonlySet<string>): void {
    const isFirst = this.#waiting.size === 0
    for (const name of names) this.#waiting.add(name)
    if (isFirst) queueMicrotask(() => this.#services())
  }

  #services(): void {
    const { catalog, events } = this.#with
    const names = [...this.#waiting]
    this.#waiting.clear()
    if (this.#stops.length === 0) return
    for (const name of names) {
      const before = this.#seen.get(name) ?? new Map<string, Seen>()
      const after = statesOf(catalog.instances(name))
      if (after.size > 0) this.#seen.set(name, after)
      else this.#seen.delete(name)
      const healthy = [...after.values()].filter(({ up }) => up).length
      for (const [key, { up, data }] of after) {
        const wasUp = before.get(key)?.up ?? false
        if (up !== wasUp && this.#isNewsOf(data.node))
          events.add(up ? 'service-up' : 'service-down', { ...data, healthy })
      }
      for (const [key, { up, data }] of before) {
        if (up && !after.has(key) && this.#isNewsOf(data.node))
          events.add('service-down', { ...data, healthy, reason: 'it is registered no more' })
      }
    }
  }

  /** Whether a change of a service on this node just happened, rather than was just heard of. */
  #isNewsOf(node: unknown): boolean {
    const { catalog, caughtUpIndex, client, membership } = this.#with
    // Old cordons come and go while it catches up. Without a leader none does.
    const isCurrent = caughtUpIndex() !== null || client.status().leader === null
    return isCurrent && (catalog.synced || node === membership.local().name)
  }

  #status(status: ConsensusStatus): void {
    if (status.leader === this.#leader) return
    const previous = this.#leader
    this.#leader = status.leader
    this.#with.events.add('leader-changed', {
      leader: this.#nameOf(status.leader),
      previous: this.#nameOf(previous),
      term: status.term,
    })
  }

  #cordons(): void {
    const before = this.#cordoned
    const after = cordonsOf(this.#with.client.status())
    this.#cordoned = after
    if (this.#with.caughtUpIndex() === null) return
    for (const id of new Set([...before.keys(), ...after.keys()])) {
      const standing = after.get(id)
      if (standing === before.get(id)) continue
      this.#with.events.add(`node-${standing ?? 'uncordoned'}`, { node: this.#nameOf(id), id })
    }
  }

  #leases(): void {
    const caughtUpIndex = this.#with.caughtUpIndex()
    const leases = this.#with.leases.list()
    // The lease of something that nobody holds need not be there.
    for (const [name, { holder }] of this.#holders) {
      if (leases.some((lease) => lease.name === name)) continue
      this.#holders.delete(name)
      if (caughtUpIndex === null || holder === null) continue
      this.#with.events.add('lease-moved', {
        lease: name,
        holder: null,
        previous: holder,
        fencingToken: null,
      })
    }
    for (const lease of leases) {
      const before = this.#holders.get(lease.name)
      if (before?.holder === lease.holder && before.session === lease.session) continue
      this.#holders.set(lease.name, lease)
      const { name, holder, fencingToken } = lease
      // The keeper of the leases looks a moment later than the log is applied.
      if (caughtUpIndex === null || (fencingToken !== null && fencingToken <= caughtUpIndex)) continue
      this.#with.events.add('lease-moved', {
        lease: name,
        holder,
        previous: before?.holder ?? null,
        fencingToken,
      })
    }
  }

  #userEvents(): void {
    const all = this.#with.userEvents.list()
    const last = all.findLastIndex(({ id }) => id === this.#lastUserEvent)
    for (const { id, name, payload, lamportTime } of all.slice(last + 1)) {
      this.#with.events.add('user-event', {
        id,
        name,
        payload: Buffer.from(payload).toString('base64'),
        lamportTime,
      })
    }
    this.#lastUserEvent = all.at(-1)?.id ?? null
  }

  #nameOf(id: string | null): string | null {
    return id === null ? null : (this.#with.membership.get(id)?.name ?? id)
  }
}

function statesOf(instances: readonly CatalogInstance[]): Map<string, Seen> {
  return new Map(
    instances.map((instance) => {
      const { node, service, status } = instance
      const data = {
        service: service.name,
        node: node.record.name,
        id: service.id,
        address: service.address || node.record.address,
        port: service.port,
        ...(status === 'critical' ? { reason: reasonOf(instance) } : {}),
      }
      return [JSON.stringify([node.record.name, service.id]), { up: status !== 'critical', data }]
    }),
  )
}

/** What is wrong with an instance, in one line; null if nothing is. */
export function reasonOf({ checks }: Pick<CatalogInstance, 'checks'>): string | null {
  const check =
    checks.find(({ status }) => status === 'critical') ?? checks.find(({ status }) => status === 'warning')
  if (check === undefined) return null
  const [line = ''] = check.output.trim().split('\n')
  return line === '' ? `${check.name} is ${check.status}` : `${check.name}: ${line}`
}

function cordonsOf({ cordoned, draining }: ConsensusStatus): Map<string, 'cordoned' | 'draining'> {
  return new Map(cordoned.map((id) => [id, draining.includes(id) ? 'draining' : 'cordoned']))
}
