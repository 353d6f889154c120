import type { RpcRequest } from '../../consensus/rpc.ts'
import { decodeRecord } from '../../consensus/state/codec.ts'
import { type Transport, TransportError } from '../../consensus/transport.ts'

type MessageHandler = (from: string, payload: Uint8Array) => void
type RequestHandler = (from: string, payload: Uint8Array) => Promise<Uint8Array>

/** What passes through the network. `answer` is the answer to a request; `from` and `to` are those of the request. */
export interface Passing {
  readonly kind: 'message' | 'request' | 'answer'
  readonly from: string
  readonly to: string
  /** Payload of the message or request, also for its answer. */
  readonly payload: Uint8Array
}

/** Operation of a request or of the request an answer belongs to; '' for a message. */
export function operationOf({ kind, payload }: Passing): string {
  return kind === 'message' ? '' : (decodeRecord(payload) as RpcRequest).op
}

function pairOf(a: string, b: string): string {
  return [a, b].sort().join('-')
}

/** A network in memory between the nodes of one test; links can be cut one way, nodes unplugged, anything dropped. */
export class TestNetwork {
  /** Called for everything that passes; what it answers `true` for is lost without a trace. */
  drops: (passing: Passing) => boolean = () => false
  /** What it answers for a request or answer is waited for before it goes on. */
  delays: (passing: Passing) => Promise<void> | undefined = () => undefined
  readonly #nodes = new Map<string, { message: MessageHandler; request: RequestHandler }>()
  readonly #cut = new Set<string>()
  readonly #idle = new Set<string>()

  transport(id: string): Transport {
    const node = {
      message: (() => {}) as MessageHandler,
      request: (async () => new Uint8Array()) as RequestHandler,
    }
    this.#nodes.set(id, node)
    const reaches = (from: string, to: string) => this.#nodes.has(to) && !this.#cut.has(`${from}>${to}`)
    // A node that was stopped and started again is another one: what the old one still says reaches nobody.
    const isPlugged = () => this.#nodes.get(id) === node
    return {
      send: (to, payload) => {
        if (!isPlugged() || !reaches(id, to)) return false
        this.#idle.delete(pairOf(id, to))
        if (this.drops({ kind: 'message', from: id, to, payload })) return true
        const copy = payload.slice()
        setImmediate(() => {
          if (isPlugged() && reaches(id, to)) this.#nodes.get(to)?.message(id, copy)
        })
        return true
      },
      request: async (to, payload, { timeoutMs, signal }) => {
        const target = this.#nodes.get(to)
        if (target === undefined || !isPlugged() || !reaches(id, to))
          throw new TransportError('not-sent', `${to} is unreachable`)
        this.#idle.delete(pairOf(id, to))
        const never = new Promise<never>(() => {})
        const { promise: lost, reject } = Promise.withResolvers<never>()
        const timer = setTimeout(
          () => reject(new TransportError('unknown', 'no answer in time')),
          timeoutMs,
        ).unref()
        signal?.addEventListener('abort', () => reject(new TransportError('unknown', 'given up')), {
          once: true,
        })
        const ask = async () => {
          await new Promise((resolve) => setImmediate(resolve))
          const request = { kind: 'request', from: id, to, payload } as const
          await this.delays(request)
          if (this.drops(request)) return never
          let answer: Uint8Array
          try {
            answer = await target.request(id, payload.slice())
          } catch (error) {
            throw new TransportError('remote', (error as Error).message)
          }
          await new Promise((resolve) => setImmediate(resolve))
          const passing = { kind: 'answer', from: id, to, payload } as const
          await this.delays(passing)
          const isLost = this.drops(passing)
          return isLost || !isPlugged() || this.#nodes.get(to) !== target || !reaches(to, id) ? never : answer
        }
        try {
          return await Promise.race([ask(), lost])
        } finally {
          clearTimeout(timer)
        }
      },
      onMessage: (handler) => {
        node.message = handler
      },
      onRequest: (handler) => {
        node.request = handler
      },
      isConnected: (peer) =>
        isPlugged() && reaches(id, peer) && reaches(peer, id) && !this.#idle.has(pairOf(id, peer)),
    }
  }

  /** The two have no connection until one of them has something to say to the other. */
  part(a: string, b: string): void {
    this.#idle.add(pairOf(a, b))
  }

  /** Cuts every link between the two groups, both ways. */
  partition(a: readonly string[], b: readonly string[]): void {
    for (const x of a) {
      for (const y of b) {
        this.#cut.add(`${x}>${y}`)
        this.#cut.add(`${y}>${x}`)
      }
    }
  }

  heal(): void {
    this.#cut.clear()
  }

  unplug(id: string): void {
    this.#nodes.delete(id)
  }
}
