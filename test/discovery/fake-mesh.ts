import { createPrivateKey, createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto'
import { MeshError, NobodyListensError } from '../../discovery/mesh/errors.ts'
import type { Mesh, PeerEvent, PeerId, RequestOptions } from '../../discovery/mesh/types.ts'
import { runsMs } from '../held-up.ts'

type MessageHandler = (from: PeerId, payload: Uint8Array) => void
type RequestHandler = (from: PeerId, payload: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>

/** A network in memory. Every delivery is one turn of the event loop later, in order; faults are switched by the test. */
export class FakeNetwork {
  readonly meshes = new Map<PeerId, FakeMesh>()
  /** Answers true for a published message that is lost on the way to `to`. */
  dropPublish: (from: PeerId, to: PeerId) => boolean = () => false
  /** Answers true for a message of a channel that is lost. */
  dropSend: (from: PeerId, to: PeerId, channel: string) => boolean = () => false
  readonly #cuts = new Set<string>()
  /** Payloads seen, for assertions about traffic. */
  readonly requests: { readonly from: PeerId; readonly to: PeerId; readonly channel: string }[] = []

  add(id: PeerId): FakeMesh {
    const mesh = new FakeMesh(id, this)
    this.meshes.set(id, mesh)
    return mesh
  }

  /** Refuses dials and closes connections between the two. */
  cut(a: PeerId, b: PeerId): void {
    this.#cuts.add(`${a} ${b}`).add(`${b} ${a}`)
    this.close(a, b)
  }

  heal(): void {
    this.#cuts.clear()
  }

  isCut(a: PeerId, b: PeerId): boolean {
    return this.#cuts.has(`${a} ${b}`)
  }

  /** Breaks the connection between the two; they may dial again. */
  close(a: PeerId, b: PeerId): void {
    this.meshes.get(a)?.dropLink(b)
    this.meshes.get(b)?.dropLink(a)
  }

  atAddress(address: string): FakeMesh | undefined {
    return [...this.meshes.values()].find((mesh) => mesh.running && mesh.advertise === address)
  }
}

/** One node of a {@link FakeNetwork}. */
export class FakeMesh implements Mesh {
  #kept: readonly PeerId[] | null = null
  readonly id: PeerId
  readonly advertise: string
  running = false
  readonly #net: FakeNetwork
  readonly #links = new Set<PeerId>()
  readonly #addresses = new Map<PeerId, string>()
  readonly #listeners = new Set<(event: PeerEvent) => void>()
  readonly #messages = new Map<string, MessageHandler>()
  readonly #requests = new Map<string, RequestHandler>()
  readonly #topics = new Map<string, MessageHandler>()

  constructor(id: PeerId, net: FakeNetwork) {
    this.id = id
    this.advertise = `${id}:7946`
    this.#net = net
  }

  async start(): Promise<void> {
    this.running = true
  }

  /** Also stands for kill -9: the others see their connections close. */
  async stop(): Promise<void> {
    this.running = false
    for (const peer of this.#links) this.#net.meshes.get(peer)?.dropLink(this.id)
    this.#links.clear()
  }

  async dial(address: string, signal?: AbortSignal): Promise<PeerId> {
    await turn()
    signal?.throwIfAborted()
    const peer = this.#net.atAddress(address)
    if (!this.running || !peer || this.#net.isCut(this.id, peer.id)) {
      throw new NobodyListensError(address)
    }
    if (peer.id === this.id) throw new MeshError('MSH_SELF', `${address}: that is this node itself`)
    this.addLink(peer)
    peer.addLink(this)
    return peer.id
  }

  setAddress(peer: PeerId, address: string): void {
    this.#addresses.set(peer, address)
  }

  address(peer: PeerId): string | undefined {
    return this.#addresses.get(peer)
  }

  forget(peer: PeerId): void {
    this.#addresses.delete(peer)
    this.#net.close(this.id, peer)
  }

  keep(peers: readonly PeerId[] | null): void {
    this.#kept = peers
  }

  neighbours(): readonly PeerId[] {
    return this.connected().filter((peer) => this.#kept?.includes(peer) !== false)
  }

  connected(): readonly PeerId[] {
    return [...this.#links]
  }

  onPeer(listener: (event: PeerEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  send(peer: PeerId, channel: string, payload: Uint8Array): boolean {
    if (!this.#links.has(peer)) return false
    if (this.#net.dropSend(this.id, peer, channel)) return true
    const bytes = Uint8Array.from(payload)
    setImmediate(() => this.#net.meshes.get(peer)?.receive(this.id, channel, bytes))
    return true
  }

  onMessage(channel: string, handler: MessageHandler): void {
    this.#messages.set(channel, handler)
  }

  async request(
    peer: PeerId,
    channel: string,
    payload: Uint8Array,
    options: RequestOptions,
  ): Promise<Uint8Array> {
    this.#net.requests.push({ from: this.id, to: peer, channel })
    await turn()
    const other = this.#net.meshes.get(peer)
    if (!this.#links.has(peer) || !other) throw new MeshError('MSH_UNREACHABLE', `${peer} is not connected`)
    const answer = await other.answer(this.id, channel, Uint8Array.from(payload), options.signal)
    await turn()
    return answer
  }

  onRequest(channel: string, handler: RequestHandler): void {
    this.#requests.set(channel, handler)
  }

  async publish(topic: string, payload: Uint8Array): Promise<void> {
    const bytes = Uint8Array.from(payload)
    for (const peer of this.#links) {
      if (this.#net.dropPublish(this.id, peer)) continue
      setImmediate(() => this.#net.meshes.get(peer)?.gossiped(this.id, topic, bytes))
    }
  }

  subscribe(topic: string, handler: MessageHandler): void {
    this.#topics.set(topic, handler)
  }

  sign(context: string, payload: Uint8Array): Uint8Array {
    return sign(null, signedBytes(context, payload), fakePrivateKey(this.id))
  }

  verify(peer: PeerId, context: string, payload: Uint8Array, signature: Uint8Array): boolean {
    return verify(null, signedBytes(context, payload), createPublicKey(fakePrivateKey(peer)), signature)
  }

  addLink(peer: FakeMesh): void {
    if (this.#links.has(peer.id)) return
    this.#links.add(peer.id)
    for (const listener of [...this.#listeners]) {
      listener({ type: 'connected', peer: peer.id, address: peer.advertise })
    }
  }

  dropLink(peer: PeerId): void {
    if (!this.#links.delete(peer)) return
    for (const listener of [...this.#listeners]) listener({ type: 'disconnected', peer })
  }

  receive(from: PeerId, channel: string, payload: Uint8Array): void {
    if (this.running && this.#links.has(from)) this.#messages.get(channel)?.(from, payload)
  }

  gossiped(from: PeerId, topic: string, payload: Uint8Array): void {
    if (this.running && this.#links.has(from)) this.#topics.get(topic)?.(from, payload)
  }

  async answer(
    from: PeerId,
    channel: string,
    payload: Uint8Array,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<Uint8Array> {
    const handler = this.#requests.get(channel)
    if (!this.running || !handler) throw new MeshError('MSH_CLOSED', `${this.id} does not answer`)
    try {
      return await handler(from, payload, signal)
    } catch (cause) {
      throw new MeshError('MSH_REMOTE', 'the handler failed', { cause })
    }
  }
}

const fakeKeys = new Map<PeerId, KeyObject>()
const FAKE_KEYS_MAX = 1000

/** The key of a node with a short name in place of a peer id: drawn from the name, so that everybody knows every public key. */
function fakePrivateKey(id: PeerId): KeyObject {
  const known = fakeKeys.get(id)
  if (known) return known
  const seed = hash('sha256', `fake identity ${id}`, 'buffer')
  const key = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  const made = createPrivateKey({ key, format: 'der', type: 'pkcs8' })
  if (fakeKeys.size < FAKE_KEYS_MAX) fakeKeys.set(id, made)
  return made
}

function signedBytes(context: string, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${context}\0`), payload])
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Polls until `done` or until this process has run for `ms`. @throws Error with the state when time is up. */
export async function until(
  what: string,
  done: () => boolean | Promise<boolean>,
  ms = 20_000,
  state?: () => unknown,
): Promise<void> {
  const end = runsMs() + ms
  while (!(await done())) {
    if (runsMs() > end) {
      throw new Error(`not within ${ms} ms: ${what} ${state ? JSON.stringify(state()) : ''}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
