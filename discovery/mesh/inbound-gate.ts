import type { ConnectionGater, MultiaddrConnection } from '@libp2p/interface'
import { multiaddrToAddress } from './address.ts'
import type { Refusals } from './refusals.ts'

/** Bounds of connections that have not proved anything yet. */
export interface InboundGateOptions {
  /** Unfinished connections allowed from one IP address. */
  readonly unfinishedPerHostMax: number
}

/**
 * Watches inbound connections until they are proved or closed, so that one host that opens connections and says
 * nothing cannot use up the places of those that want to join.
 */
export class InboundGate {
  readonly #options: InboundGateOptions
  readonly #refusals: Refusals
  readonly #unfinished = new Map<string, number>()

  constructor(options: InboundGateOptions, collaborators: { readonly refusals: Refusals }) {
    this.#options = options
    this.#refusals = collaborators.refusals
  }

  /** The hooks to configure libp2p with. Every address may be dialled: the members say where they are. */
  gater(): ConnectionGater {
    const open = new WeakMap<MultiaddrConnection, () => void>()
    return {
      denyDialMultiaddr: () => false,
      denyInboundConnection: (connection) => {
        const host = connection.remoteAddr.getComponents()[0]?.value ?? ''
        const count = this.#unfinished.get(host) ?? 0
        if (count >= this.#options.unfinishedPerHostMax) {
          this.#refusals.tooMany(host)
          return true
        }
        this.#unfinished.set(host, count + 1)
        const done = () => {
          open.delete(connection)
          const left = (this.#unfinished.get(host) ?? 1) - 1
          if (left > 0) this.#unfinished.set(host, left)
          else this.#unfinished.delete(host)
        }
        open.set(connection, done)
        connection.addEventListener('close', () => {
          if (!open.has(connection)) return
          done()
          this.#refusals.unfinished(connection, multiaddrToAddress(connection.remoteAddr))
        })
        return false
      },
      denyInboundEncryptedConnection: (_peer, connection) => {
        open.get(connection)?.()
        return false
      },
    }
  }
}
