import type { FastifyInstance } from 'fastify'
import { DATACENTER } from './consul-shapes.ts'
import { badRequest, refused } from './errors.ts'
import { allParams } from './query.ts'
import { dialectOf } from './routes.ts'

const ENTERPRISE: readonly (readonly [name: string, feature: string])[] = [
  ['ns', 'Namespaces are'],
  ['partition', 'Partitions are'],
]

/** Refuses what is meant for another datacenter; "" is this one. @throws HttpError 500 with Consul's text */
export function requireDatacenter(name: string): void {
  if (name !== '' && name !== DATACENTER) throw refused('No path to datacenter')
}

/**
 * What is the same for all of /v1: the header that tells clients that there is no access control, and the refusal of parameters
 * that ask for something this cluster does not have, rather than ignore them.
 */
export function installConsulParams(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    if (dialectOf(request.originalUrl) !== 'consul') return
    reply.header('x-consul-default-acl-policy', 'allow')
    if (request.is404) return
    const { query } = request
    const wanted = [...allParams(query, 'dc'), ...allParams(query, 'datacenter')]
    for (const dc of wanted) requireDatacenter(dc)
    for (const [name, feature] of ENTERPRISE) {
      if (allParams(query, name).some((value) => value !== '' && value !== 'default')) {
        throw badRequest(`Invalid query parameter: "${name}" - ${feature} a Consul Enterprise feature`)
      }
    }
    // Ignored, it would give more than was asked for.
    const isFiltered = allParams(query, 'filter').some((value) => value !== '')
    if (isFiltered && request.routeOptions.config.filters !== true) {
      throw badRequest('filter is not supported here')
    }
  })
}
