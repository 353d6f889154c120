import { setTimeout as delay } from 'node:timers/promises'
import type { Connection, Libp2p, MessageStream, MultiaddrConnection, Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import type { Logger } from 'pino'
import { multiaddrToAddress, parseAddress } from './address.ts'
import type { Connections } from './connections.ts'
import { LineLimiter } from './line-limiter.ts'
import type { RunNote } from './run-note.ts'
import type { PeerId } from './types.ts'

/** Of which node these are the runs. */
export interface RunsOptions {
  readonly self: PeerId
  /** The run of this process. */
  readonly run: string
  /** Time for an answer of the run that is connected, in milliseconds: without one it is dead, and another one takes its place. */
  readonly probeMs: number
}

/** A connection whose peer has proved its membership and told its run. */
export interface Candidate {
  readonly peer: PeerId
  /** Undefined: an agent that tells none. */
  readonly note: RunNote | undefined
  /** What carries the connection. */
  readonly raw: MessageStream
}

/** Why a run may not connect, and where the identity is in use. */
export interface InUse {
  /** `here`: this node is connected to the other run. `back`: this node was refused lately because its own identity is in use. */
  readonly seen: 'here' | 'back'
  readonly at: string
}

/** The run of a peer that has this node's connections. */
interface Claim {
  readonly run: string
  readonly address: string
  readonly carriers: Set<MessageStream>
  probing: Promise<boolean> | undefined
}

/** What to do about two runs of one identity. */
export const TWIN_ADVICE =
  'The data_dir was copied: stop one of the two and empty its data_dir, started again it joins as a new node'

const PROTOCOL = '/constellation/run/1'
const STREAMS_PER_CONNECTION_MAX = 4
const MESSAGE_BYTES_MAX = 512
/** Claims may change while one of them is probed. */
const PROBES_MAX = 3
const LOOK_MS = 20
const LINE_INTERVAL_MS = 60_000
const LINE_KEYS_MAX = 16
/** A node that was refused because its identity is in use stays away from everybody for this long: it asks more often than that. */
const STAND_BACK_MS = 15_000

/**
 * Sees to it that a node is connected to one run of each peer. When a second run of a peer comes, the first one is asked for a
 * sign of life on the connection that stands. If it answers, two processes have one identity: their votes and their logs are not
 * one node's, and the second is refused. If it does not, it is a restart: the old connection is dead and ends at once.
 *
 * The question also tells the first run of the second one. The second stands back from everybody else while it is refused by
 * somebody, so that it does not get in through a node that has just started and knows neither. One that has a connection never
 * stands back: it was there first.
 */
export class Runs {
  readonly #options: RunsOptions
  readonly #log: Logger
  readonly #now: () => number
  readonly #lines: LineLimiter
  readonly #claims = new Map<PeerId, Claim>()
  #connections: Connections | undefined
  #refused: { readonly until: number; readonly at: string } | undefined

  constructor(options: RunsOptions, collaborators: { readonly log: Logger; readonly now: () => number }) {
    this.#options = options
    this.#log = collaborators.log
    this.#now = collaborators.now
    this.#lines = new LineLimiter({ intervalMs: LINE_INTERVAL_MS, keysMax: LINE_KEYS_MAX }, collaborators)
  }

  /** The run of this process. */
  get own(): string {
    return this.#options.run
  }

  /** Answers what others ask. Called before the host listens. */
  async serve(collaborators: {
    readonly host: Pick<Libp2p, 'handle'>
    readonly connections: Connections
  }): Promise<void> {
    this.#connections = collaborators.connections
    await collaborators.host.handle(
      PROTOCOL,
      (stream) => {
        this.#answer(stream).catch((error: unknown) => {
          this.#log.debug({ err: error }, 'a question about the run of this node was not answered')
          stream.abort(error instanceof Error ? error : new Error(String(error)))
        })
      },
      { maxInboundStreams: STREAMS_PER_CONNECTION_MAX, maxOutboundStreams: STREAMS_PER_CONNECTION_MAX },
    )
  }

  /** Lets this connection in, or answers where the identity of its peer, or of this node, is in use. */
  async admit(candidate: Candidate): Promise<InUse | undefined> {
    const { peer, note, raw } = candidate
    const back = this.inUseAt
    if (back !== null) return { seen: 'back', at: back }
    if (note === undefined) return undefined
    const address = describe(candidate)
    for (let probes = 0; ; probes += 1) {
      const claim = this.#claims.get(peer)
      if (claim === undefined || claim.run === note.run) {
        this.#claim(peer, { run: note.run, address, raw })
        return undefined
      }
      if (probes >= PROBES_MAX) return { seen: 'here', at: claim.address }
      claim.probing ??= this.#probe(peer, claim, address).finally(() => {
        claim.probing = undefined
      })
      if (await claim.probing) return { seen: 'here', at: claim.address }
      this.#end(peer, claim)
    }
  }

  /** A member has refused this node because its identity is in use at this address. */
  refused(at: string): void {
    this.#refused = { until: this.#now() + STAND_BACK_MS, at }
  }

  /** Where the identity of this node is in use too, while this node stands back because of that. */
  get inUseAt(): string | null {
    if (this.#refused === undefined || this.#refused.until <= this.#now()) return null
    return (this.#connections?.connected().length ?? 0) === 0 ? this.#refused.at : null
  }

  #claim(peer: PeerId, by: { readonly run: string; readonly address: string; readonly raw: MessageStream }) {
    const { run, address, raw } = by
    // It was given up while the other run was asked.
    if (raw.status !== 'open') return
    const claim = this.#claims.get(peer) ?? { run, address, carriers: new Set(), probing: undefined }
    this.#claims.set(peer, claim)
    claim.carriers.add(raw)
    raw.addEventListener(
      'close',
      () => {
        claim.carriers.delete(raw)
        if (claim.carriers.size === 0 && this.#claims.get(peer) === claim) this.#claims.delete(peer)
      },
      { once: true },
    )
  }

  /** Ends the connections of a run that is dead. */
  #end(peer: PeerId, claim: Claim): void {
    if (this.#claims.get(peer) !== claim) return
    this.#claims.delete(peer)
    const reason = new Error('another run of this peer has come, and this one does not answer')
    for (const connection of this.#open(peer)) connection.abort(reason)
    for (const carrier of claim.carriers) carrier.abort(reason)
    this.#log.debug({ peer, address: claim.address }, 'the run of a peer that does not answer has made way')
  }

  #open(peer: PeerId): readonly Connection[] {
    return (this.#connections?.all() ?? []).filter(
      ({ remotePeer, status }) => status === 'open' && remotePeer.toString() === peer,
    )
  }

  /** Whether the run that is connected answers. Tells it where the other one is. */
  async #probe(peer: PeerId, claim: Claim, other: string): Promise<boolean> {
    const signal = AbortSignal.timeout(this.#options.probeMs)
    try {
      let connections = this.#open(peer)
      // Its own handshake may not be over yet.
      while (connections.length === 0 && claim.carriers.size > 0) {
        await delay(LOOK_MS, undefined, { signal })
        connections = this.#open(peer)
      }
      const answers = connections.map((connection) => ask(connection, other, signal))
      return (await Promise.any(answers)) === claim.run
    } catch {
      return false
    }
  }

  async #answer(stream: Stream): Promise<void> {
    const signal = AbortSignal.timeout(this.#options.probeMs)
    const wire = lpStream(stream, { maxDataLength: MESSAGE_BYTES_MAX })
    const other = readAddress((await wire.read({ signal })).subarray())
    await wire.write(Buffer.from(this.#options.run, 'hex'), { signal })
    await stream.close({ signal })
    const fields = { other }
    const line = `the identity of this node (${this.#options.self}) runs elsewhere too: at ${other}, which is refused. ${TWIN_ADVICE}`
    if (this.#lines.allow(other)) this.#log.error(fields, line)
    else this.#log.debug(fields, line)
  }
}

/** Where a candidate says it is, and where it comes from if that is elsewhere. */
export function describe({ note, raw }: Candidate): string {
  const from = multiaddrToAddress((raw as MultiaddrConnection).remoteAddr)
  if (note === undefined || note.address === '') return from
  const { host } = parseAddress(from)
  return parseAddress(note.address).host === host ? note.address : `${note.address} (connected from ${host})`
}

/** An address as a peer tells it, fit for the log. */
export function readAddress(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('latin1')
  return /^[\x20-\x7e]{1,400}$/.test(text) ? text : 'an address that was not told'
}

async function ask(connection: Connection, other: string, signal: AbortSignal): Promise<string> {
  const stream = await connection.newStream(PROTOCOL, { signal })
  try {
    const wire = lpStream(stream, { maxDataLength: MESSAGE_BYTES_MAX })
    await wire.write(Buffer.from(other), { signal })
    const run = Buffer.from((await wire.read({ signal })).subarray()).toString('hex')
    stream.close({ signal }).catch((error: unknown) => stream.abort(error as Error))
    return run
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}
