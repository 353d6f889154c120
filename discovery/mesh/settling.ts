import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { byteStream } from '@libp2p/utils'
import type { Logger } from 'pino'
import type { Connections } from './connections.ts'
import type { MeshMetrics } from './metrics.ts'
import type { PeerId } from './types.ts'

/** What is needed to settle which connection is kept. */
export interface SettlingCollaborators {
  readonly host: Pick<Libp2p, 'handle'>
  readonly connections: Connections
  /** Leaves what is on surplus connections to this peer for `kept`, without losing anything. Called again and again until it has. */
  readonly move: (peer: PeerId, kept: Connection, surplus: readonly Connection[]) => void
  readonly metrics: MeshMetrics
  readonly log: Logger
}

/** A question that is not answered yet. */
interface Question {
  /** This end has agreed meanwhile to what the other end asked. */
  overruled: boolean
}

/** How it is with a surplus connection. */
interface Leaving {
  /** This end has asked, so it closes. The other one waits, and asks in its turn if nothing happens. */
  readonly mine: boolean
  wasEmpty: boolean
  askedAt: number
}

const PROTOCOL = '/constellation/settle/1'
const KEEP_THIS = 1
const YES = 1
const NO = 0
/** Peers asked at the same time. */
const ASKED_AT_ONCE_MAX = 16
const ANSWER_TIMEOUT_MS = 3_000
const STREAMS_PER_CONNECTION_MAX = 8
/** The end with the smaller id asks at once, the other one only if that has not settled it, or it has nothing to settle there. */
const FIRST_MS = 100
const SECOND_MS = 500
const SWEEP_MS = 100
/** Pause after no connection has brought an answer. */
const NOBODY_ANSWERS_MS = 30_000
/** A connection this old that the other end does not have is dead; a younger one may be about to appear there. */
const APPEARED_MS = 1_000
/** A connection that is still in use after this long is asked about again: perhaps the other end has none any more. */
const ASK_AGAIN_MS = 2_000

/**
 * Sees to it that two nodes with several connections keep one of them. One end asks on the newest, "do we keep this one?";
 * that the question is answered proves that it works. When the other end agrees, both open no streams on the others any
 * more and move what is on them; the end that asked closes them when they are empty.
 *
 * The end with the smaller id has the say: it agrees only to what it would keep itself, and not while it asks. So the two
 * never agree on different connections. A node may be the only one to see a second connection, an old one that is dead: then it
 * asks, whatever its id, and learns that the other end has no other. (That of a peer that has restarted has ended before: `Runs`.)
 */
export class Settling {
  readonly #self: PeerId
  readonly #with: SettlingCollaborators
  /** Peers with several connections: when to ask, on the monotonic clock of the process. */
  readonly #due = new Map<PeerId, number>()
  readonly #asking = new Map<PeerId, Question>()
  /** Surplus connections on their way out. */
  readonly #leaving = new Map<Connection, Leaving>()
  /** Connections this end has closed, and counted. They stay open until what they still hold is sent. */
  readonly #ended = new WeakSet<Connection>()
  /** Connections on which a question was not answered. */
  readonly #silent = new WeakSet<Connection>()
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(options: { readonly self: PeerId }, collaborators: SettlingCollaborators) {
    this.#self = options.self
    this.#with = collaborators
  }

  /** Answers what others ask. Called before the host listens. */
  async serve(): Promise<void> {
    await this.#with.host.handle(
      PROTOCOL,
      (stream, connection) => {
        this.#answer(stream, connection).catch((error: unknown) => {
          this.#with.log.debug({ err: error }, 'a question about connections was not answered')
          stream.abort(error instanceof Error ? error : new Error(String(error)))
        })
      },
      { maxInboundStreams: STREAMS_PER_CONNECTION_MAX, maxOutboundStreams: STREAMS_PER_CONNECTION_MAX },
    )
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  /** A connection was opened. */
  opened(connection: Connection): void {
    const peer = connection.remotePeer.toString()
    if (this.#with.connections.unsettled(peer).length > 1) this.#arm()
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#sweep()
    }, FIRST_MS)
  }

  /** Looks at every peer with several connections; comes again as long as there is one. */
  #sweep(): void {
    const { connections } = this.#with
    const now = performance.now()
    let isAny = false
    for (const peer of connections.connected()) {
      const several = connections.unsettled(peer).length > 1
      const surplus = connections.surplus(peer)
      if (!several && surplus.length === 0) continue
      isAny = true
      if (several) this.#askWhenDue(peer, now)
      const kept = connections.current(peer)
      if (kept !== undefined && surplus.length > 0) this.#empty(peer, kept, surplus, now)
    }
    for (const connection of this.#leaving.keys())
      if (connection.status !== 'open') this.#leaving.delete(connection)
    for (const peer of this.#due.keys()) if (connections.unsettled(peer).length < 2) this.#due.delete(peer)
    if (!isAny || this.#timer !== undefined || this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#sweep()
    }, SWEEP_MS)
  }

  #askWhenDue(peer: PeerId, now: number): void {
    const due = this.#due.get(peer) ?? now + (this.#self < peer ? 0 : SECOND_MS)
    this.#due.set(peer, due)
    if (due > now || this.#asking.has(peer) || this.#asking.size >= ASKED_AT_ONCE_MAX) return
    const kept = this.#choice(peer)
    if (kept === undefined) return
    this.#due.set(peer, now + (this.#silent.has(kept) ? NOBODY_ANSWERS_MS : SECOND_MS))
    this.#ask(peer, kept)
  }

  /** What this end would keep: the newest, unless it has not answered. */
  #choice(peer: PeerId): Connection | undefined {
    const unsettled = this.#with.connections.unsettled(peer)
    return unsettled.find((connection) => !this.#silent.has(connection)) ?? unsettled[0]
  }

  #ask(peer: PeerId, kept: Connection): void {
    const { connections, log } = this.#with
    const others = [...connections.unsettled(peer), ...connections.surplus(peer)].filter(
      ({ id }) => id !== kept.id,
    )
    const question: Question = { overruled: false }
    this.#asking.set(peer, question)
    askToKeep(kept)
      .then((answer) => {
        // What this end has agreed to meanwhile counts: the other end has the say.
        if (answer !== undefined && !question.overruled) this.#settled(peer, kept, others, answer.others)
      })
      .catch((error: unknown) => {
        this.#silent.add(kept)
        log.debug({ peer, err: error }, 'which connection is kept was not agreed on')
      })
      .finally(() => this.#asking.delete(peer))
  }

  #settled(peer: PeerId, kept: Connection, others: readonly Connection[], theirOthers: number): void {
    const { connections, log, metrics } = this.#with
    connections.settle(kept, others)
    this.#leaving.delete(kept)
    for (const connection of others) {
      // What was closed while the question was on its way is counted already.
      if (this.#ended.has(connection) || connection.status !== 'open') continue
      if (theirOthers === 0 && connections.ageMs(connection) >= APPEARED_MS) {
        metrics.settled.inc()
        this.#ended.add(connection)
        log.debug({ peer }, 'a connection that the other end does not have is dead')
        connection.abort(new Error('the other end does not have this connection'))
      } else {
        this.#leaving.set(connection, { mine: true, wasEmpty: false, askedAt: performance.now() })
      }
    }
    this.#arm()
    const surplus = connections.surplus(peer)
    if (surplus.length > 0) this.#with.move(peer, kept, surplus)
  }

  #empty(peer: PeerId, kept: Connection, surplus: readonly Connection[], now: number): void {
    const { connections, log, metrics, move } = this.#with
    move(peer, kept, surplus)
    for (const connection of surplus) {
      const state = this.#leaving.get(connection)
      if (state === undefined) continue
      const isEmpty = connection.streams.length === 0
      if (state.mine && isEmpty && state.wasEmpty) {
        this.#leaving.delete(connection)
        metrics.settled.inc()
        this.#ended.add(connection)
        connections
          .close([connection])
          .catch((error: unknown) => log.debug({ peer, err: error }, 'a connection could not be closed'))
      } else if (now - state.askedAt >= ASK_AGAIN_MS && !this.#asking.has(peer)) {
        // It takes long: perhaps nobody is there any more.
        state.askedAt = now
        this.#ask(peer, kept)
      }
      state.wasEmpty = isEmpty
    }
  }

  async #answer(stream: Stream, connection: Connection): Promise<void> {
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS)
    const wire = byteStream(stream)
    const question = (await wire.read({ bytes: 1, signal })).subarray()
    const answer = question[0] === KEEP_THIS ? this.#agree(connection) : undefined
    await wire.write(answer === undefined ? Uint8Array.of(NO, 0) : Uint8Array.of(YES, answer), { signal })
    await stream.close({ signal })
  }

  /** Agrees to keep this connection and answers how many others there were, or does not agree. */
  #agree(connection: Connection): number | undefined {
    const { connections, move } = this.#with
    const peer = connection.remotePeer.toString()
    const all = [...connections.unsettled(peer), ...connections.surplus(peer)]
    if (!all.some(({ id }) => id === connection.id)) return undefined
    if (this.#self < peer && (this.#asking.has(peer) || this.#choice(peer)?.id !== connection.id)) {
      this.#arm()
      return undefined
    }
    // One that this end has agreed to close counts as well: the other end may use it still, and would take it for dead.
    const others = connections.others(connection)
    const question = this.#asking.get(peer)
    if (question !== undefined) question.overruled = true
    connections.settle(connection, others)
    for (const other of others) {
      this.#leaving.set(other, { mine: false, wasEmpty: false, askedAt: performance.now() })
    }
    this.#leaving.delete(connection)
    if (others.length > 0) {
      move(peer, connection, connections.surplus(peer))
      this.#arm()
    }
    return Math.min(others.length, 255)
  }
}

/** Asks on a connection whether it is the one to keep. Answers how many others the other end had; undefined if it refuses. */
async function askToKeep(connection: Connection): Promise<{ readonly others: number } | undefined> {
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS)
  const stream = await connection.newStream(PROTOCOL, { signal })
  try {
    const wire = byteStream(stream)
    await wire.write(Uint8Array.of(KEEP_THIS), { signal })
    const answer = (await wire.read({ bytes: 2, signal })).subarray()
    // What was answered counts, however the stream ends.
    stream.close({ signal }).catch((error: unknown) => stream.abort(error as Error))
    return answer[0] === YES ? { others: answer[1] ?? 0 } : undefined
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}
