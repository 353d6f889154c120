import { type Transport, TransportError } from '../consensus/transport.ts'
import { MeshError } from '../discovery/mesh/errors.ts'
import type { Mesh } from '../discovery/mesh/types.ts'

const MESSAGES = 'raft'
const REQUESTS = 'consensus'

function transportError(error: unknown): TransportError {
  if (error instanceof MeshError) {
    const failure =
      error.code === 'MSH_UNREACHABLE' || error.code === 'MSH_TOO_LARGE' || error.code === 'MSH_STOPPED'
        ? 'not-sent'
        : error.code === 'MSH_REMOTE'
          ? 'remote'
          : 'unknown'
    return new TransportError(failure, error.message, { cause: error })
  }
  return new TransportError('unknown', String(error), { cause: error })
}

/** What consensus/ sees of the mesh: one channel for protocol messages, one for requests, both authenticated. */
export function meshTransport(mesh: Mesh): Transport {
  return {
    send: (to, payload) => mesh.send(to, MESSAGES, payload),
    request: async (to, payload, options) => {
      try {
        return await mesh.request(to, REQUESTS, payload, options)
      } catch (error) {
        throw transportError(error)
      }
    },
    onMessage: (handler) => mesh.onMessage(MESSAGES, handler),
    onRequest: (handler) => mesh.onRequest(REQUESTS, (from, payload) => handler(from, payload)),
    isConnected: (peer) => mesh.connected().includes(peer),
  }
}
