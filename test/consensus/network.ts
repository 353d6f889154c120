import { type Transport, TransportError } from '../../consensus/transport.ts'

type MessageHandler = (from: string, payload: Uint8Array) => void
type RequestHandler = (from: string, payload: Uint8Array) => Promise<Uint8Array>

/** A network in memory between the nodes of one test; links can be cut one way, nodes unplugged. */
export class TestNetwork {
  readonly #nodes = new Map<string, { message: MessageHandler; request: RequestHandler }>()
  readonly #cut = new Set<string>()

  transport(id: string): Transport {
    const node = {
      message: (() => {}) as MessageHandler,
      request: (async () => new Uint8Array()) as RequestHandler,
    }
    this.#nodes.set(id, node)
    const reaches = (from: string, to: string) => this.#nodes.has(to) && !this.#cut.has(`${from}>${to}`)
    return {
      send: (to, payload) => {
        if (!reaches(id, to)) return false
        const copy = payload.slice()
        setImmediate(() => {
          if (reaches(id, to)) this.#nodes.get(to)?.message(id, copy)
        })
        return true
      },
      request: async (to, payload, { timeoutMs }) => {
        const target = this.#nodes.get(to)
        if (target === undefined || !reaches(id, to))
          throw new TransportError('not-sent', `${to} is unreachable`)
        const lost = new Promise<never>((_, reject) => {
          const timer = setTimeout(
            () => reject(new TransportError('unknown', 'no answer in time')),
            timeoutMs,
          )
          timer.unref()
        })
        const answered = target.request(id, payload.slice()).then(
          (answer) => (reaches(to, id) ? answer : new Promise<never>(() => {})),
          (error: Error) => {
            throw new TransportError('remote', error.message)
          },
        )
        return Promise.race([answered, lost])
      },
      onMessage: (handler) => {
        node.message = handler
      },
      onRequest: (handler) => {
        node.request = handler
      },
      isConnected: (peer) => reaches(id, peer) && reaches(peer, id),
    }
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
