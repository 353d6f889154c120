import { randomBytes } from 'node:crypto'
import type {
  ConnectionEncrypter,
  MessageStream,
  MultiaddrConnection,
  SecureConnectionOptions,
  SecuredConnection,
} from '@libp2p/interface'
import { type NoiseComponents, noise } from '@libp2p/noise'
import { lpStream } from '@libp2p/utils'
import { multiaddrToAddress } from './address.ts'
import type { Keyring } from './cluster-key.ts'
import { ANSWERED } from './dial-patience.ts'
import { MeshError } from './errors.ts'
import { decodeLengthsQuietly } from './length-decoder.ts'
import type { RefusalReason } from './metrics.ts'
import {
  decodeHello,
  encodeHello,
  type Hello,
  NONCE_BYTES,
  PROOF_VERSION,
  type ProofContext,
  type ProofRole,
  proofInput,
  sameCluster,
} from './proof-messages.ts'
import type { Refusals } from './refusals.ts'
import { type RunNote, splitNote, withNote } from './run-note.ts'
import { type Candidate, describe, type InUse, readAddress, TWIN_ADVICE } from './runs.ts'

/** What the proof has to know of the runs of agents. */
export interface ProofRuns {
  /** What this node tells of itself. */
  readonly note: () => RunNote
  /** Whether this run of a member may connect: undefined if it may. */
  readonly admit: (candidate: Candidate) => Promise<InUse | undefined>
  /** A member refuses this node because its identity is in use there. */
  readonly refused: (at: string) => void
}

/** How membership is proved. */
export interface ProofOptions {
  readonly clusterName: string
  readonly keys: Keyring
  /** Both sides must be done in this time. */
  readonly timeoutMs: number
  /** Whether there is a place for an inbound connection of this peer. */
  readonly admit: (peer: string, connection: MessageStream) => boolean
  readonly runs: ProofRuns
}

type Wire = ReturnType<typeof lpStream<MessageStream>>
interface Side {
  readonly raw: MessageStream
  readonly remote: string
  readonly role: ProofRole
}
interface Reason {
  readonly reason: RefusalReason
  readonly text: string
  /** The error that the log tells instead, once a minute for each key. */
  readonly line?: { readonly key: string; readonly sentence: string }
}
type Verdict = (Reason & { readonly answer?: Uint8Array }) | undefined

const PROTOCOL = '/constellation/noise'
// A proof under each of eight keys, and some room.
const MESSAGE_BYTES_MAX = 512
// A peer that is already convinced may send its first frames behind its last proof message.
const BUFFER_BYTES_MAX = 1024 * 1024
const ACCEPTED = 1
const REFUSED = 0
const FULL = 2
// Followed by the address where the identity is in use: of the peer that is told so, or of who says it.
const IN_USE = 3
const STANDS_BACK = 4

/**
 * Noise, and after it a proof of membership in both directions before libp2p sees the connection: no other protocol is
 * ever spoken with a peer that does not hold the key of this cluster.
 *
 * Inside the encrypted connection each side sends three messages without waiting in between for the other's verdict:
 * a hello (nonce, cluster tag), then HMACs over both peer ids, both nonces and its role, one for each key it holds, then
 * its verdict. A side
 * judges only after it has sent its own proof, so that both operators learn what is wrong, and it waits for the other
 * side's verdict, so that neither sees a connection that the other is about to close.
 *
 * The peer ids are what ties the proof to the encryption: noise has authenticated them, so a proof relayed by somebody
 * in the middle names the wrong ids.
 */
export class MembershipProof implements ConnectionEncrypter {
  readonly protocol = PROTOCOL
  readonly #options: ProofOptions
  readonly #noise: ConnectionEncrypter
  readonly #self: string
  readonly #refusals: Refusals

  constructor(
    options: ProofOptions,
    collaborators: { readonly components: NoiseComponents; readonly refusals: Refusals },
  ) {
    this.#options = options
    this.#noise = noise()(collaborators.components)
    this.#self = collaborators.components.peerId.toString()
    this.#refusals = collaborators.refusals
  }

  async secureOutbound(
    connection: MessageStream,
    options?: SecureConnectionOptions,
  ): Promise<SecuredConnection> {
    joinWrites(connection)
    answered(options)
    return await this.#prove(
      connection,
      await this.#noise.secureOutbound(connection, options),
      options,
      'initiator',
    )
  }

  async secureInbound(
    connection: MessageStream,
    options?: SecureConnectionOptions,
  ): Promise<SecuredConnection> {
    joinWrites(connection)
    return await this.#prove(
      connection,
      await this.#noise.secureInbound(connection, options),
      options,
      'responder',
    )
  }

  async #prove(
    raw: MessageStream,
    secured: SecuredConnection,
    options: SecureConnectionOptions | undefined,
    role: ProofRole,
  ): Promise<SecuredConnection> {
    const remote = secured.remotePeer.toString()
    const timeout = AbortSignal.timeout(this.#options.timeoutMs)
    const signal = options?.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout])
    const wire = lpStream(decodeLengthsQuietly(secured.connection), {
      maxDataLength: MESSAGE_BYTES_MAX,
      maxBufferSize: BUFFER_BYTES_MAX,
    })
    let verdict: Verdict
    try {
      verdict = await this.#exchange(wire, { raw, remote, role }, signal)
    } catch (error) {
      if (remote === this.#self) throw itself(error)
      verdict = {
        reason: 'proof',
        text: timeout.aborted
          ? `it sent no proof of membership within ${this.#options.timeoutMs} ms`
          : 'it ended the connection before it had proved its membership',
      }
    }
    // Unwrapping pushes back what the peer has sent behind its last message: the first bytes of the multiplexer.
    if (verdict === undefined) return { ...secured, connection: wire.unwrap() }
    const { remoteAddr } = raw as MultiaddrConnection
    throw this.#refusals.refuse({
      ...verdict,
      connection: raw,
      direction: role === 'initiator' ? 'outbound' : 'inbound',
      host: remoteAddr.getComponents()[0]?.value ?? '',
      address: multiaddrToAddress(remoteAddr),
    })
  }

  async #exchange(wire: Wire, side: Side, signal: AbortSignal): Promise<Verdict> {
    const { raw, remote, role } = side
    const nonce = randomBytes(NONCE_BYTES)
    await wire.write(encodeHello(nonce, this.#options.clusterName), { signal })
    const hello = decodeHello((await wire.read({ signal })).subarray())
    if (hello === undefined) return { reason: 'proof', text: 'it does not speak the membership proof' }
    if (hello.version !== PROOF_VERSION) {
      const text = `it speaks version ${hello.version} of the membership proof, we speak ${PROOF_VERSION}`
      return await this.#conclude(wire, side, { reason: 'version', text }, signal)
    }

    const here = { peer: this.#self, nonce }
    const there = { peer: remote, nonce: hello.nonce }
    const context: ProofContext = {
      clusterName: this.#options.clusterName,
      initiator: role === 'initiator' ? here : there,
      responder: role === 'initiator' ? there : here,
    }
    const { keys, runs } = this.#options
    await wire.write(withNote(keys.sign(proofInput(context, role)), runs.note()), { signal })
    const { signatures, note } = splitNote((await wire.read({ signal })).subarray())
    const otherRole = role === 'initiator' ? 'responder' : 'initiator'
    const verdict =
      this.#judge(hello, proofInput(context, otherRole), signatures) ??
      (await this.#judgeRun({ peer: remote, note, raw }))
    if (verdict === undefined && role === 'responder' && !this.#options.admit(remote, raw)) {
      const text =
        'this node has as many connections as it may have (mesh.connections_max, mesh.on_demand_max)'
      return await this.#conclude(wire, side, { reason: 'full', text }, signal)
    }
    return await this.#conclude(wire, side, verdict, signal)
  }

  #judge(hello: Hello, input: Uint8Array, proof: Uint8Array): Verdict {
    if (!sameCluster(hello, this.#options.clusterName)) {
      const text = `it belongs to another cluster (we are "${this.#options.clusterName}")`
      return { reason: 'wrong_cluster', text }
    }
    if (!this.#options.keys.verify(input, proof)) {
      const text = 'it does not hold our cluster key (check cluster.key_file on both sides)'
      return { reason: 'wrong_key', text }
    }
    return undefined
  }

  /** Refuses a second run of a peer while the first one lives, and everybody while this node is such a second run. */
  async #judgeRun(candidate: Candidate): Promise<Verdict> {
    const { runs } = this.#options
    const { peer, note } = candidate
    const second = describe(candidate)
    if (peer === this.#self) {
      const own = runs.note()
      if (note === undefined || note.run === own.run) throw itself()
      const sentence = `the identity of this node (${peer}) runs elsewhere too: at ${second}. ${TWIN_ADVICE}`
      return inUse(`${peer} ${second}`, {
        text: 'it has the identity of this node',
        sentence,
        answer: [IN_USE, own.address],
      })
    }
    const found = await runs.admit(candidate)
    if (found === undefined) return undefined
    if (found.seen === 'back') {
      const text = `the identity of this node was in use at ${found.at} a moment ago, it stands back`
      return { reason: 'identity_in_use', text, answer: answer(STANDS_BACK, found.at) }
    }
    const sentence = `one identity runs twice: ${peer} is connected at ${found.at}, and ${second} has it too and is refused. ${TWIN_ADVICE}`
    return inUse(`${peer} ${second}`, {
      text: `its identity is in use at ${found.at}`,
      sentence,
      answer: [IN_USE, found.at],
    })
  }

  /** What it means that the peer refuses this node. */
  #refusedBy({ raw, remote, role }: Side, theirs: Uint8Array): Reason {
    if (theirs[0] === FULL) {
      const text =
        'it has as many connections as it may have (mesh.connections_max, mesh.on_demand_max there)'
      return { reason: 'full', text }
    }
    const at = readAddress(theirs.subarray(1))
    if (theirs[0] === STANDS_BACK) {
      const text = `its identity was in use at ${at} a moment ago, it stands back`
      return { reason: 'identity_in_use', text }
    }
    if (theirs[0] === IN_USE) {
      const by = multiaddrToAddress((raw as MultiaddrConnection).remoteAddr)
      // Of two that meet, the one that dialled stands back: the other one may have been there alone.
      if (remote !== this.#self || role === 'initiator') this.#options.runs.refused(at)
      const sentence = `the identity of this node (${this.#self}) runs elsewhere too: at ${at}, and the member at ${by} refuses this node. ${TWIN_ADVICE}`
      return inUse(this.#self, { text: `our identity is in use at ${at}`, sentence })
    }
    return {
      reason: 'refused_us',
      text: 'it does not accept our cluster key (check cluster.key_file on both sides)',
    }
  }

  /**
   * Tells the peer our verdict and waits for its own. We wait even for a peer we have refused: closing at once would
   * reset the connection and could take our proof away from it before it has read it.
   */
  async #conclude(wire: Wire, side: Side, verdict: Verdict, signal: AbortSignal): Promise<Verdict> {
    try {
      const code = verdict === undefined ? ACCEPTED : verdict.reason === 'full' ? FULL : REFUSED
      await wire.write(verdict?.answer ?? Uint8Array.of(code), { signal })
      const theirs = (await wire.read({ signal })).subarray()
      if (theirs.length === 1 && theirs[0] === ACCEPTED) return verdict
      // Read also where this side refuses: it says how long to stand back.
      const reason = this.#refusedBy(side, theirs)
      return verdict === undefined || (verdict.line === undefined && reason.line !== undefined)
        ? reason
        : verdict
    } catch (error) {
      if (verdict !== undefined) return verdict
      throw error
    }
  }
}

function itself(cause?: unknown): MeshError {
  return new MeshError('MSH_SELF', 'that is this node itself', { cause })
}

function answer(code: number, address: string): Uint8Array {
  return Buffer.concat([Uint8Array.of(code), Buffer.from(address)])
}

function inUse(
  key: string,
  of: {
    readonly text: string
    readonly sentence: string
    readonly answer?: readonly [code: number, address: string]
  },
): Reason & { readonly answer?: Uint8Array } {
  const { text, sentence } = of
  const reason: Reason = { reason: 'identity_in_use', text, line: { key, sentence } }
  return of.answer === undefined ? reason : { ...reason, answer: answer(...of.answer) }
}

/** The peer has agreed to this encryption: its first word. The options are those of the dial, with the listener for its progress. */
function answered(options: SecureConnectionOptions | undefined): void {
  const { onProgress } = (options ?? {}) as {
    readonly onProgress?: (event: { readonly type: string }) => void
  }
  onProgress?.({ type: ANSWERED })
}

/**
 * Makes every encrypted packet one write. Noise hands its two-byte length and its data over as two pieces, and the TCP
 * transport writes each piece on its own: two system calls and, without Nagle, two packets for every small message.
 */
function joinWrites(connection: MessageStream): void {
  const send = connection.send.bind(connection)
  connection.send = (data) => send(data.subarray())
}
