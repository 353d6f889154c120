import type { FastifyInstance } from 'fastify'
import { DATACENTER } from './consul-shapes.ts'
import { badRequest, refused } from './errors.ts'
import { allParams } from './query.ts'
import { dialectOf } from './routes.ts'

const ENTERPRISE: readonly (readonly [name: string, feature: string])[] = [
  ['ns', 'Namespaces are'],
  ['partition', 'Partitions are'],
]

/** Refuses the parameters of /v1 that ask for something this cluster does not have, rather than ignore them. */
export function installConsulParams(app: FastifyInstance): void {
  app.addHook('onRequest', async (request) => {
    if (request.is404 || dialectOf(request.originalUrl) !== 'consul') return
    const { query } = request
    const wanted = [...allParams(query, 'dc'), ...allParams(query, 'datacenter')]
    if (wanted.some((dc) => dc !== '' && dc !== DATACENTER)) throw refused('No path to datacenter')
    for (const [name, feature] of ENTERPRISE) {
      if (allParams(query, name).some((value) => value !== '' && value !== 'default')) {
        throw badRequest(`Invalid query parameter: "${name}" - ${feature} a Consul Enterprise feature`)
      }
    }
    if (allParams(query, 'filter').some((value) => value !== '')) throw badRequest('filter is not supported')
  })
}
