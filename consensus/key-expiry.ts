import type { Expiry, ExpiryCollaborators } from './expiry.ts'
import type { ByteKey, Command } from './state/types.ts'

/** Ends proposed at once; the others wait for the next tick. */
const ENDS_PER_TICK = 256

/** When a key ends, on the monotonic clock, and the write that it is counted from. */
interface Deadline {
  readonly at: number
  readonly renewIndex: number
}

/**
 * Deletes keys that were not written again within their time to live: on the leader only, on its monotonic clock, and only
 * through the log. The entry that deletes names the write it counted from, so a write that is on its way wins.
 */
export class KeyExpiry implements Expiry {
  /** Who proposes the ends: one start of one node. */
  readonly #origin: string
  readonly #with: ExpiryCollaborators
  readonly #deadlines = new Map<ByteKey, Deadline>()
  #sequence = 0

  constructor(origin: string, collaborators: ExpiryCollaborators) {
    this.#origin = origin
    this.#with = collaborators
  }

  /** Gives every key its full time: this node became leader, or was paused so that nobody could write anything. */
  restart(): void {
    this.#deadlines.clear()
    for (const { key } of this.#with.state().expiringKeys()) this.#arm(key)
  }

  /** This node leads no longer. */
  clear(): void {
    this.#deadlines.clear()
  }

  /** A command was applied. */
  applied(command: Command): void {
    if (command.type !== 'kv.set' || command.ttlMs === undefined || !this.#with.isLeader()) return
    const ttl = this.#with.state().kvGet(command.key)?.ttl
    // A compare-and-set that was lost renews nothing: whoever waits for the end of the key must not put it off.
    if (ttl?.renewIndex !== this.#deadlines.get(command.key)?.renewIndex) this.#arm(command.key)
  }

  #arm(key: ByteKey): void {
    const ttl = this.#with.state().kvGet(key)?.ttl
    if (ttl === undefined) return
    this.#deadlines.set(key, { at: this.#with.clock.now() + ttl.ms, renewIndex: ttl.renewIndex })
  }

  /** Proposes the end of every key whose time is over. */
  endExpired(now: number): void {
    let ends = 0
    for (const [key, { at }] of this.#deadlines) {
      if (at > now) continue
      if (++ends > ENDS_PER_TICK) return
      this.#deadlines.delete(key)
      const ttl = this.#with.state().kvGet(key)?.ttl
      if (ttl !== undefined) this.#end(key, ttl.renewIndex)
    }
  }

  #end(key: ByteKey, renewIndex: number): void {
    const sequence = ++this.#sequence
    const command: Command = { type: 'kv.expire', key, renewIndex }
    this.#with
      .propose({ origin: this.#origin, sequence, acknowledged: sequence, command })
      .catch((error: unknown) => {
        this.#with.log.debug({ err: error }, 'a key whose time is over was not deleted; trying again')
        if (this.#with.isLeader()) this.#arm(key)
      })
  }
}
