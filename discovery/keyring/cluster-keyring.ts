import type { Logger } from 'pino'
import type { Membership } from '../membership/types.ts'
import { keyFingerprint, RING_KEYS_MAX } from '../mesh/cluster-key.ts'
import type { Mesh, PeerId } from '../mesh/types.ts'
import { shortFingerprint } from './announcement.ts'
import { KeyringError } from './errors.ts'
import { installed, nextVersion, primaryOf, type Ring, ringDigest, statement } from './ring.ts'
import type { RingStore } from './ring-store.ts'
import { nodeKeys, Survey, type SurveyCollaborators } from './survey.ts'
import type { KeyringOrder, KeyringReport, KeyringResult, Keys, NodeKeys } from './types.ts'
import { decodePulled, decodeRequest, encodePulled, encodeRequest, encodeStatus } from './wire.ts'

/** Settings of {@link ClusterKeyring}. Durations in milliseconds. */
export interface ClusterKeyringOptions {
  /** How long one node may take to answer. Default 3,000. */
  readonly answerTimeoutMs?: number
  /** How often a random peer is asked whether it knows more. Default 60,000. */
  readonly pullIntervalMs?: number
}

/** What {@link ClusterKeyring} works with. */
export interface ClusterKeyringCollaborators {
  readonly store: RingStore
  readonly mesh: Mesh
  readonly membership: Pick<Membership, 'members' | 'get' | 'local'>
  readonly belonging: SurveyCollaborators['belonging']
  readonly log: Logger
  readonly random?: () => number
}

const CHANNEL = 'keyring'
const NAMED_MAX = 20
const PREFIX_CHARS_MIN = 8

// For whoever is named as standing in the way.
const WAY_ON =
  'One that is gone for good stops counting after "constellation raft remove NODE", if "constellation raft status" has it, ' +
  'and "constellation force-leave NODE --prune".'

/** A change of the ring: what is said, once no other change can come between; and what is wrong with a node's keys after it. */
interface Order {
  readonly fingerprint: string
  readonly say: () => Ring
  readonly problem: (keys: readonly string[]) => string | null
}

/**
 * The cluster keys across all members. An operation goes to every member over the mesh, and each has it on disk before it
 * answers. Whoever missed one learns of it from the next peer it connects to: rings merge, and the newer statement counts.
 */
export class ClusterKeyring implements Keys {
  readonly #answerTimeoutMs: number
  readonly #pullIntervalMs: number
  readonly #with: ClusterKeyringCollaborators
  readonly #survey: Survey
  readonly #random: () => number
  #stopListening: (() => void)[] = []
  #timer: NodeJS.Timeout | null = null
  #running: AbortController | null = null
  #ordering: Promise<unknown> = Promise.resolve()

  constructor(options: ClusterKeyringOptions, collaborators: ClusterKeyringCollaborators) {
    this.#answerTimeoutMs = options.answerTimeoutMs ?? 3000
    this.#pullIntervalMs = options.pullIntervalMs ?? 60_000
    this.#with = collaborators
    this.#survey = new Survey({ answerTimeoutMs: this.#answerTimeoutMs }, collaborators)
    this.#random = collaborators.random ?? Math.random
    const { mesh } = collaborators
    mesh.onRequest(CHANNEL, (_from, payload) => this.#answer(payload))
    mesh.onMessage(CHANNEL, (from, payload) => this.#hint(from, payload))
  }

  /** Begins to exchange rings with every peer that connects. The mesh and the membership run. */
  async start(): Promise<void> {
    if (this.#running !== null) return
    this.#running = new AbortController()
    const { mesh, store } = this.#with
    this.#stopListening = [
      mesh.onPeer((event) => {
        if (event.type === 'connected') this.#pullSoon(event.peer)
      }),
      store.onChange((ring) => this.#tell(ring)),
    ]
    for (const peer of mesh.connected()) this.#pullSoon(peer)
    this.#timer = setInterval(() => this.#pullFromAnybody(), this.#pullIntervalMs).unref()
  }

  async stop(): Promise<void> {
    this.#running?.abort(new Error('the agent stops'))
    this.#running = null
    for (const stop of this.#stopListening) stop()
    this.#stopListening = []
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  // ---- the operations ------------------------------------------------------------------------------------------

  async list(): Promise<KeyringReport> {
    const { ring } = this.#with.store
    const nodes = (await this.#gather()).nodes
    const known = new Set(ring === null ? [] : installed(ring).map(({ fingerprint }) => fingerprint))
    for (const node of nodes) if (node.source === 'answered') for (const key of node.keys) known.add(key)
    const keys = [...known].map((fingerprint) => ({
      fingerprint,
      nodes: nodes.filter((node) => holds(node, fingerprint)).length,
      primaryOn: nodes.filter((node) => hasPrimary(node, fingerprint)).length,
    }))
    return { primary: ring === null ? null : primaryOf(ring), keys, nodes }
  }

  install(key: Uint8Array, { force = false }: KeyringOrder = {}): Promise<KeyringResult> {
    return this.#inTurn(async () => {
      const ring = this.#ring()
      const fingerprint = keyFingerprint(key)
      const known = ring.entries.find((entry) => entry.fingerprint === fingerprint)
      if (known !== undefined && known.key === null && primaryOf(ring) !== fingerprint && !force) {
        throw new KeyringError(
          'KRG_REMOVED',
          `key ${fingerprint} was removed from this cluster before; make a new one, or bring it back with --force`,
        )
      }
      // Said again as it is known, for those who missed it.
      if (known !== undefined && known.key !== null)
        return await this.#order(installation(fingerprint, () => statement(this.#ring(), known)))
      if (installed(ring).length >= RING_KEYS_MAX) {
        throw new KeyringError(
          'KRG_FULL',
          `there are ${RING_KEYS_MAX} cluster keys already; remove one that is not used any more`,
        )
      }
      const { version } = await this.#gather()
      return await this.#order(installation(fingerprint, () => this.#installed(key, version)))
    })
  }

  use(prefix: string, { force = false }: KeyringOrder = {}): Promise<KeyringResult> {
    return this.#inTurn(async () => {
      const ring = this.#ring()
      const { fingerprint } = this.#find(ring, prefix)
      if (!force) this.#checkBelonging()
      const { nodes, version } = await this.#gather()
      const missing = nodes.filter((node) => !holds(node, fingerprint))
      if (missing.length > 0 && !force) {
        throw new KeyringError(
          'KRG_NOT_EVERYWHERE',
          `key ${fingerprint} cannot become the primary one yet, these nodes have not confirmed it: ${describe(missing)}. ` +
            `Bring them back, install the key once more, and try again. ${WAY_ON} With --force they are left out: ` +
            'once the old key is removed they cannot come back without the new one in cluster.key_file',
        )
      }
      const say = () => {
        const now = this.#ring()
        // It may have been removed since, from another node: that order came first then, and this one is refused.
        const entry = this.#find(now, fingerprint)
        return statement(now, entry, { fingerprint, version: Math.max(version, nextVersion(now)) })
      }
      const problem = (keys: readonly string[]) =>
        keys[0] === fingerprint ? null : 'another key is the primary one there'
      return await this.#order({ fingerprint, say, problem })
    })
  }

  remove(prefix: string, { force = false }: KeyringOrder = {}): Promise<KeyringResult> {
    return this.#inTurn(async () => {
      const ring = this.#ring()
      const removedBefore = ring.entries.find(
        (entry) => entry.key === null && matches(entry.fingerprint, prefix),
      )
      const { fingerprint } = removedBefore ?? this.#find(ring, prefix)
      refusePrimary(ring, fingerprint)
      if (removedBefore !== undefined) {
        return await this.#removal(fingerprint, null, removedBefore.version)
      }
      if (!force) this.#checkBelonging()
      const { nodes, version } = await this.#gather()
      const needing = nodes.filter((node) => node.keys.length === 0 || hasPrimary(node, fingerprint))
      if (needing.length > 0 && !force) {
        throw new KeyringError(
          'KRG_STILL_NEEDED',
          `key ${fingerprint} cannot be removed yet, these nodes are not known to have another primary key: ${describe(needing)}. ` +
            `Bring them back and try again. ${WAY_ON} With --force they are left out: they cannot come back without the new key in cluster.key_file`,
        )
      }
      return await this.#removal(fingerprint, this.#find(ring, fingerprint).key, version)
    })
  }

  #installed(key: Uint8Array, version = 0): Ring {
    const ring = this.#ring()
    const entry = { fingerprint: keyFingerprint(key), version: Math.max(version, nextVersion(ring)), key }
    return statement(ring, entry)
  }

  /**
   * Takes a key from every node. A node that has it as its primary one by now keeps it: then it goes back to all others.
   * `key`: its bytes; null if it was removed before. @throws KeyringError `KRG_PRIMARY`
   */
  async #removal(fingerprint: string, key: Uint8Array | null, version: number): Promise<KeyringResult> {
    const say = () => {
      const now = this.#ring()
      refusePrimary(now, fingerprint)
      const current = key === null ? version : Math.max(version, nextVersion(now))
      return statement(now, { fingerprint, version: current, key: null })
    }
    let isChosen = false
    const problem = (keys: readonly string[]) => {
      isChosen ||= keys[0] === fingerprint
      return keys.includes(fingerprint) ? 'it has the key in use' : null
    }
    const result = await this.#order({ fingerprint, say, problem })
    if (!isChosen || key === null) return result
    await this.#order(installation(fingerprint, () => this.#installed(key)))
    throw new KeyringError(
      'KRG_PRIMARY',
      `key ${fingerprint} is not removed: another node has made it the primary one at the same time`,
    )
  }

  /** Operations of this node run one after the other, so that each is judged by what the one before left. */
  #inTurn<T>(order: () => Promise<T>): Promise<T> {
    const done = this.#ordering.then(order)
    this.#ordering = done.catch(() => undefined)
    return done
  }

  #ring(): Ring {
    const { ring } = this.#with.store
    if (ring === null) {
      throw new KeyringError(
        'KRG_NO_KEY',
        'this node has no cluster key that could be changed: give it one with cluster.key_file',
      )
    }
    return ring
  }

  /** A node that is down may be on no list but that of those who belong to the cluster: without it nobody is taken to be all. */
  #checkBelonging(): void {
    if (this.#with.belonging() !== null) return
    throw new KeyringError(
      'KRG_BELONGING_UNKNOWN',
      'this node does not know yet which nodes belong to the cluster; wait until it is ready, or ask another node. ' +
        'With --force only the listed members count',
    )
  }

  #find(ring: Ring, prefix: string) {
    const found = installed(ring).filter(({ fingerprint }) => matches(fingerprint, prefix))
    const [entry] = found
    if (entry === undefined || found.length > 1) {
      const known = installed(ring).map(({ fingerprint }) => fingerprint)
      throw new KeyringError(
        'KRG_UNKNOWN_KEY',
        `${found.length > 1 ? 'several keys have' : 'no installed key has'} the fingerprint ${JSON.stringify(prefix)}; installed are ${known.join(', ')}`,
      )
    }
    return entry
  }

  /** Does it here, then everywhere. */
  async #order({ fingerprint, say, problem }: Order): Promise<KeyringResult> {
    const { store, membership } = this.#with
    let news: Ring | undefined
    const ring = await store.change(() => {
      news = say()
      return news
    })
    const digest = ringDigest(ring)
    const answers = await this.#survey.ask(encodeRequest({ op: 'merge', ring: news ?? ring }))
    const done = [membership.local().name]
    const missing: { name: string; reason: string }[] = []
    for (const answer of answers) {
      const { name } = answer.node
      const reason = 'problem' in answer ? answer.problem : problem(answer.status.keys)
      if (reason === null) done.push(name)
      else missing.push({ name, reason })
      if ('status' in answer) {
        // It knows more than this node, or less: the exchange that follows a difference settles it.
        if (answer.status.digest !== digest) this.#pullSoon(answer.node.id)
      }
    }
    this.#with.log.info(
      { fingerprint, done: done.length, missing: missing.length },
      'changed the cluster keys',
    )
    return { fingerprint, done: done.sort(), missing: missing.sort((a, b) => (a.name < b.name ? -1 : 1)) }
  }

  // ---- what the others have ------------------------------------------------------------------------------------

  /** The keys of every node that counts, and a version above all of theirs. */
  async #gather(): Promise<{ readonly nodes: readonly NodeKeys[]; readonly version: number }> {
    const { store, membership } = this.#with
    const { id, name, status } = membership.local()
    const ring = store.ring
    const own: NodeKeys = {
      id,
      name,
      status,
      source: 'answered',
      keys: ring === null ? [] : installed(ring).map(({ fingerprint }) => fingerprint),
      problem: null,
    }
    const answers = await this.#survey.ask(encodeRequest({ op: 'status' }))
    const versions = answers.map((answer) => ('status' in answer ? answer.status.nextVersion : 0))
    const nodes = [own, ...answers.map(nodeKeys)].sort((a, b) => (a.name < b.name ? -1 : 1))
    return { nodes, version: Math.max(ring === null ? 0 : nextVersion(ring), ...versions) }
  }

  // ---- exchange ------------------------------------------------------------------------------------------------

  async #answer(payload: Uint8Array): Promise<Uint8Array> {
    const { store } = this.#with
    const request = decodeRequest(payload)
    if (request.op === 'merge') return encodeStatus(await store.merge(request.ring))
    if (request.op === 'status') return encodeStatus(store.ring)
    const { ring } = store
    return encodePulled(ring === null || ringDigest(ring) === request.digest ? null : ring)
  }

  /** This node has learnt something: whoever is connected hears that there is something to ask for. */
  #tell(ring: Ring): void {
    const { mesh } = this.#with
    const digest = Buffer.from(ringDigest(ring))
    for (const peer of mesh.connected()) mesh.send(peer, CHANNEL, digest)
  }

  #hint(from: PeerId, payload: Uint8Array): void {
    const { ring } = this.#with.store
    if (ring !== null && Buffer.from(payload).toString('latin1') !== ringDigest(ring)) this.#pullSoon(from)
  }

  #pullFromAnybody(): void {
    const peers = this.#with.mesh.neighbours()
    const peer = peers[Math.floor(this.#random() * peers.length)]
    if (peer !== undefined) this.#pullSoon(peer)
  }

  #pullSoon(peer: PeerId): void {
    this.#pull(peer).catch((error: unknown) => {
      // It is asked again when it connects, and now and then.
      this.#with.log.debug({ peer, err: error }, 'a peer did not tell its keyring')
    })
  }

  async #pull(peer: PeerId): Promise<void> {
    const { store, mesh } = this.#with
    const signal = this.#running?.signal
    if (signal === undefined || store.ring === null) return
    const request = encodeRequest({ op: 'pull', digest: ringDigest(store.ring) })
    const answer = await mesh.request(peer, CHANNEL, request, { timeoutMs: this.#answerTimeoutMs, signal })
    const ring = decodePulled(answer)
    if (ring !== null && !signal.aborted) await store.merge(ring)
  }
}

function installation(fingerprint: string, say: () => Ring): Order {
  const problem = (keys: readonly string[]) => (keys.includes(fingerprint) ? null : 'it was removed there')
  return { fingerprint, say, problem }
}

function refusePrimary(ring: Ring, fingerprint: string): void {
  if (primaryOf(ring) !== fingerprint) return
  throw new KeyringError(
    'KRG_PRIMARY',
    `key ${fingerprint} is the primary one; choose another with "constellation keyring use" first`,
  )
}

function holds(node: NodeKeys, fingerprint: string): boolean {
  return node.keys.some((key) => sameKey(key, fingerprint))
}

function hasPrimary(node: NodeKeys, fingerprint: string): boolean {
  return sameKey(node.keys[0], fingerprint)
}

function sameKey(key: string | undefined, fingerprint: string): boolean {
  return key === fingerprint || key === shortFingerprint(fingerprint)
}

function matches(fingerprint: string, prefix: string): boolean {
  return prefix.length >= PREFIX_CHARS_MIN && fingerprint.startsWith(prefix)
}

function describe(nodes: readonly NodeKeys[]): string {
  const shown = nodes.slice(0, NAMED_MAX).map(({ name, status, problem }) => {
    const why = status === 'failed' ? 'failed' : (problem ?? 'has not taken it')
    return `${name} (${why})`
  })
  return nodes.length > NAMED_MAX
    ? `${shown.join(', ')} and ${nodes.length - NAMED_MAX} more`
    : shown.join(', ')
}
