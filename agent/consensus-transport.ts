import { type Transport, TransportError } from '../consensus/transport.ts'
import { MeshError, type MeshErrorCode } from '../discovery/mesh/errors.ts'
import type { Mesh } from '../discovery/mesh/types.ts'

const MESSAGES = 'raft'
const REQUESTS = 'consensus'
const NOT_SENT: ReadonlySet<MeshErrorCode> = new Set([
  'MSH_UNREACHABLE',
  'MSH_FULL',
  'MSH_TOO_LARGE',
  'MSH_STOPPED',
])

function transportError(error: unknown): TransportError {
  if (error instanceof MeshError) {
    const failure = NOT_SENT.has(error.code) ? 'not-sent' : error.code === 'MSH_REMOTE' ? 'remote' : 'unknown'
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
