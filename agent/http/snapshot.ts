import { ARCHIVE_BYTES_MAX } from '../snapshot/archive.ts'
import { ArchiveError } from '../snapshot/errors.ts'
import { bodyBytes } from './body.ts'
import type { HttpContext } from './collaborators.ts'
import { refused } from './errors.ts'
import { clientSignal, sendEmpty } from './replies.ts'
import type { RouteTable } from './routes.ts'
import { ERRORS, query, READ_QUERY } from './schemas.ts'
import { leaderCall, readOptions, setReadHeaders } from './store-reads.ts'

/** All keys as one archive: /v1/snapshot (Consul snapshot API, with our own state.bin). */
export function addSnapshotRoutes(routes: RouteTable, context: HttpContext): void {
  const { backups } = context
  const { stale, consistent } = READ_QUERY
  routes.add({
    method: 'GET',
    url: '/v1/snapshot',
    permission: 'operator:read',
    tag: 'snapshot',
    summary: 'All keys, values and flags of one moment as an archive.',
    query: query({ stale, consistent }),
    responses: {
      200: { description: 'A gzip-compressed tar', media: 'application/gzip' },
      ...ERRORS,
    },
    handler: async (request, reply) => {
      const { consistency } = readOptions(request)
      const options = leaderCall(reply)
      const saved = await backups.save(consistency, options)
      const { knownLeader, lastContactMs, meta } = saved
      setReadHeaders(reply, { index: meta.index, knownLeader, lastContactMs, consistency })
      return reply.header('content-type', 'application/gzip').send(saved.open())
    },
  })
  routes.add({
    method: 'PUT',
    url: '/v1/snapshot',
    permission: 'operator:write',
    tag: 'snapshot',
    summary:
      'Replace all keys, values and flags by those of an archive. Locks and sessions stay as they are.',
    responses: {
      200: { description: 'Done' },
      413: { description: 'The archive is too large', media: 'text/plain' },
      ...ERRORS,
    },
    bodyLimit: ARCHIVE_BYTES_MAX,
    handler: async (request, reply) => {
      try {
        await backups.restore(bodyBytes(request), clientSignal(reply))
      } catch (error) {
        throw error instanceof ArchiveError ? refused(error.message) : error
      }
      return sendEmpty(reply)
    },
  })
}
