import { ApplyWaiters } from './apply-waiters.ts'
import { noLeader } from './errors.ts'
import type { FollowSnapshot } from './feed-messages.ts'
import type { Entry } from './raft/types.ts'
import { CodecError, decodeLogRecord } from './state/codec.ts'
import { StateMachine } from './state/state-machine.ts'
import type { Watchers } from './watchers.ts'

/** Records made into state between two turns of the event loop. */
const RECORDS_PER_TURN = 500
/** A client refuses a state beyond this, rather than fill its memory. */
const STATE_BYTES_MAX = 1 << 30

/** The records of a state that comes in parts; `next` fetches the part after the given one. */
export async function* recordsOf(
  first: FollowSnapshot,
  next: (part: FollowSnapshot) => Promise<FollowSnapshot>,
): AsyncGenerator<Uint8Array> {
  let count = 0
  let bytes = 0
  for (let part = first; ; part = await next(part)) {
    for (const record of part.records) {
      bytes += record.length
      if (bytes > STATE_BYTES_MAX)
        throw new CodecError(`the state of the feed is larger than ${STATE_BYTES_MAX} bytes`)
      if (++count % RECORDS_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve))
      yield record
    }
    if (part.last) return
  }
}

/**
 * A client's copy of the state and how far it is. Entries are applied once and in order; a state that replaces the one
 * before wakes everybody who watches, for it may say anything.
 */
export class FeedCopy {
  readonly #watchers: Watchers
  readonly #waiters = new ApplyWaiters()
  #state = new StateMachine()
  #term = 0

  constructor(watchers: Watchers) {
    this.#watchers = watchers
  }

  get state(): StateMachine {
    return this.#state
  }

  /** Index and term of the last entry that is in the state; 0 and 0 before the first state came. */
  get position(): { readonly index: number; readonly term: number } {
    return { index: this.#state.appliedIndex, term: this.#term }
  }

  /**
   * Applies entries that follow the position. All are read before the first one is applied. @throws CodecError if one
   * holds no command: nothing was applied then. Whatever else it throws leaves a state that must not be used any more.
   */
  apply(entries: readonly Entry[]): void {
    const commands = entries.map((entry) => ({
      entry,
      record: entry.type === 'config' || entry.data.length === 0 ? null : decodeLogRecord(entry.data),
    }))
    for (const { entry, record } of commands) {
      if (entry.index !== this.#state.appliedIndex + 1)
        throw new CodecError(`entry ${entry.index} does not follow ${this.#state.appliedIndex}`)
      this.#term = entry.term
      if (record === null) {
        this.#state.skip(entry.index)
        continue
      }
      const { changes } = this.#state.apply(entry.index, record)
      if (changes.keys.size > 0 || changes.sessions) this.#watchers.notify(changes)
    }
    this.#waiters.applied(this.#state.appliedIndex)
  }

  /** Takes a whole state over. @throws CodecError if it is not of the index it claims */
  replace(state: StateMachine, about: { readonly index: number; readonly term: number }): void {
    if (state.appliedIndex !== about.index)
      throw new CodecError(`a state said to be of ${about.index} is of ${state.appliedIndex}`)
    this.#state = state
    this.#term = about.term
    this.#watchers.notifyAll()
    this.#waiters.applied(state.appliedIndex)
  }

  /** Forgets the position, so that the next answer is a whole state. What is there goes on being read until then. */
  distrust(): void {
    this.#term = -1
  }

  get isTrusted(): boolean {
    return this.#term > 0
  }

  /** Resolves once `index` is applied. */
  waitApplied(index: number): { readonly promise: Promise<void>; readonly cancel: () => void } {
    if (this.#state.appliedIndex >= index) return { promise: Promise.resolve(), cancel: () => {} }
    return this.#waiters.wait(index)
  }

  /** This copy is fed no more: whoever waits for it must look elsewhere. */
  end(): void {
    this.#waiters.rejectAll(noLeader())
  }
}
