import { LeaseClaims, type LeaseClaimsOptions } from '../consensus/lease-claims.ts'
import type { LeaseInfo } from '../consensus/leases.ts'
import type { RunOnceLeases } from '../providers/docker/run-once.ts'
import { canHoldInstead, leaseRank, mayHoldLeases, type StandingCollaborators } from './lease-standing.ts'

/** The leases of services of which one copy runs in the cluster are `constellation/lease/run-once/SERVICE`. */
export const RUN_ONCE_PREFIX = 'run-once/'

/** Every lease, with those of run-once services known to be this node's own where they are. */
export function allLeases(
  keeper: { list(): readonly LeaseInfo[] },
  runOnce: ClusterRunOnceLeases | null,
): readonly LeaseInfo[] {
  const held = new Set(runOnce?.claims.list().flatMap((l) => (l.heldBySelf ? [l.fencingToken] : [])))
  return keeper
    .list()
    .map((lease) =>
      lease.fencingToken !== null && held.has(lease.fencingToken) ? { ...lease, heldBySelf: true } : lease,
    )
}

/** What the leases stand on. */
export type RunOnceLeasesCollaborators = StandingCollaborators & ConstructorParameters<typeof LeaseClaims>[1]

/** Who this node is, and how long leases last; by default as `LeaseClaims` has it. */
export type RunOnceLeasesOptions = Pick<
  LeaseClaimsOptions,
  'node' | 'nodeId' | 'ttlMs' | 'lockDelayMs' | 'settleMs'
>

/** Leases of run-once services, with this node's standing among those who could run them. */
export class ClusterRunOnceLeases implements RunOnceLeases {
  readonly claims: LeaseClaims
  readonly #standing: StandingCollaborators

  constructor(options: RunOnceLeasesOptions, collaborators: RunOnceLeasesCollaborators) {
    const { membership, status } = collaborators
    const standing = { membership, status }
    this.#standing = standing
    this.claims = new LeaseClaims(
      {
        ...options,
        prefix: RUN_ONCE_PREFIX,
        rank: (claimants) => leaseRank(standing, new Set(claimants)),
        mayHold: (claimants) => mayHoldLeases(standing, new Set(claimants)),
      },
      collaborators,
    )
  }

  get known(): boolean {
    return this.claims.known
  }

  claim(services: ReadonlySet<string>): void {
    this.claims.claim(services)
  }

  held(): readonly string[] {
    return this.claims.list().flatMap(({ name, heldBySelf }) => (heldBySelf ? [name] : []))
  }

  holder(service: string): string | null {
    return this.claims.get(service)?.holder ?? null
  }

  mayKeep(service: string): boolean {
    return mayHoldLeases(this.#standing, this.#claimants(service))
  }

  othersCan(service: string): boolean {
    return canHoldInstead(this.#standing, this.#claimants(service))
  }

  release(service: string): void {
    this.claims.release(service)
  }

  onChange(listener: () => void): () => void {
    return this.claims.onChange(listener)
  }

  #claimants(service: string): ReadonlySet<string> {
    return new Set(this.claims.get(service)?.claimants)
  }
}
