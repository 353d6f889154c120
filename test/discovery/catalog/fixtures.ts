import {
  deltaBetween,
  type RecordMessage,
  recordMessage,
  type SignedDelta,
} from '../../../discovery/catalog/codec.ts'
import { EntrySeals, type SealedRecord, sealRecord } from '../../../discovery/catalog/sealed-record.ts'
import type { HealthCheck, NodeRecord, ServiceInstance } from '../../../discovery/catalog/types.ts'
import type { Member, MemberMeta, Membership } from '../../../discovery/membership/types.ts'
import { FakeNetwork } from '../fake-mesh.ts'

/** An instance with defaults. */
export function service(id: string, more: Partial<ServiceInstance> = {}): ServiceInstance {
  return {
    id,
    name: id.split('-')[0] ?? id,
    tags: [],
    address: '',
    port: 80,
    meta: {},
    weights: { passing: 1, warning: 1 },
    enableTagOverride: false,
    taggedAddresses: {},
    ...more,
  }
}

/** A check with defaults. */
export function check(id: string, serviceId: string, more: Partial<HealthCheck> = {}): HealthCheck {
  return {
    id,
    name: id,
    status: 'passing',
    notes: '',
    output: '',
    serviceId,
    type: 'http',
    interval: '10s',
    timeout: '1s',
    ...more,
  }
}

/** A record with defaults; its name is its id. */
export function record(
  id: string,
  sequence: number,
  services: readonly ServiceInstance[] = [],
  checks: readonly HealthCheck[] = [],
  more: Partial<NodeRecord> = {},
): NodeRecord {
  return {
    id,
    name: id,
    address: '10.0.0.1',
    version: { incarnation: 1, sequence },
    meta: {},
    services: new Map(services.map((s) => [s.id, s])),
    checks: new Map(checks.map((c) => [c.id, c])),
    ...more,
  }
}

const seals = new EntrySeals()

/** A record as its owner signs it; `by`: somebody else who does, in its name. */
export function sealed(record: NodeRecord, by: string = record.id): SealedRecord {
  const signer = new FakeNetwork().add(by)
  return sealRecord(
    { id: record.id, sign: (context, payload) => signer.sign(context, payload) },
    record,
    seals,
  )
}

/** The step from one record to another, signed. */
export function delta(before: NodeRecord, after: NodeRecord, by: string = after.id): SignedDelta {
  return deltaBetween(sealed(before, by), sealed(after, by), seals)
}

/** A whole record as a message. */
export function message(record: NodeRecord, by: string = record.id): RecordMessage {
  return recordMessage(sealed(record, by), seals)
}

/** A membership the test writes itself. */
export class FakeMembership implements Membership {
  readonly hasSeeds: boolean
  readonly #self: string
  readonly #members = new Map<string, Member>()
  readonly #listeners = new Set<(member: Member, previous: Member | undefined) => void>()

  constructor(self: string, options: { incarnation?: number; hasSeeds?: boolean } = {}) {
    this.#self = self
    this.hasSeeds = options.hasSeeds ?? false
    this.set(self, { incarnation: options.incarnation ?? 1 })
  }

  set(id: string, more: Partial<Member> = {}): void {
    const previous = this.#members.get(id)
    const member: Member = {
      id,
      name: id,
      address: `${id}:7946`,
      status: 'alive',
      incarnation: 1,
      meta: {},
      ...previous,
      ...more,
    }
    this.#members.set(id, member)
    for (const listener of [...this.#listeners]) listener(member, previous)
  }

  /** As a reap does: the member counts as left, then it is forgotten. */
  reap(id: string): void {
    const previous = this.#members.get(id)
    if (!previous) return
    this.#members.delete(id)
    for (const listener of [...this.#listeners]) listener({ ...previous, status: 'left' }, previous)
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  async leave(): Promise<void> {}

  members(): readonly Member[] {
    return [...this.#members.values()]
  }

  get(id: string): Member | undefined {
    return this.#members.get(id)
  }

  local(): Member {
    const self = this.#members.get(this.#self)
    if (!self) throw new Error('no self')
    return self
  }

  seeds(): readonly [] {
    return []
  }

  setMeta(meta: MemberMeta): void {
    this.set(this.#self, { meta })
  }

  forceLeave(id: string): void {
    this.set(id, { status: 'left' })
  }

  onEvent(): () => void {
    return () => {}
  }

  rttMs(): null {
    return null
  }

  coordinate(): null {
    return null
  }

  onChange(listener: (member: Member, previous: Member | undefined) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
