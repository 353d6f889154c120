import { isDeepStrictEqual } from 'node:util'
import type { ConsensusStatus } from '../../consensus/client.ts'
import { announcement } from '../../discovery/keyring/announcement.ts'
import type { RingStore } from '../../discovery/keyring/ring-store.ts'
import type { MemberMeta, Membership } from '../../discovery/membership/types.ts'
import { VERSION } from '../cli/version.ts'
import { formatHostPort } from '../config/host-port.ts'
import type { Config } from '../config/types.ts'
import { packFacts } from '../member-meta.ts'

/** What this agent tells the others about itself along with its membership. */
export class SelfDescription {
  /** Where the HTTP interface can be reached: the setting, with the port it got in place of 0. */
  http: string
  priority: number
  readonly #bootstrapExpect: number
  readonly #ring: RingStore

  constructor(config: Config, { ring }: { readonly ring: RingStore }) {
    this.http = formatHostPort(config.http.listen)
    this.priority = config.node.priority
    this.#bootstrapExpect = config.cluster.bootstrapExpect
    this.#ring = ring
  }

  /** Everything it says. */
  meta({ clusterId, feed }: Pick<ConsensusStatus, 'clusterId' | 'feed'>): MemberMeta {
    return packFacts({
      version: VERSION,
      http: this.http,
      priority: this.priority,
      bootstrapExpect: this.#bootstrapExpect,
      clusterId,
      fedBy: feed === undefined ? null : (feed.feeder ?? ''),
      keys: announcement(this.#ring.ring),
    })
  }

  /** Tells the others, if anything has changed. */
  announce(membership: Membership, status: Pick<ConsensusStatus, 'clusterId' | 'feed'>): void {
    const meta = this.meta(status)
    if (!isDeepStrictEqual(membership.local().meta, meta)) membership.setMeta(meta)
  }
}
