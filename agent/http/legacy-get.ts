import type { FastifyRequest } from 'fastify'
import { hasBody } from './body.ts'
import { badRequest, HttpError } from './errors.ts'

/**
 * Lets old clients (python-consul 0.7.1, and with it Patroni 3.0) send GET where the interface wants PUT. A browser
 * sends a GET to any address a page names, so one that comes from a page is refused. So is one with a body, which nobody has
 * read yet: should its end be missing, the request would be carried out and answered as an error.
 * @throws HttpError 403, 400.
 */
export function refuseBrowserGet(request: FastifyRequest): void {
  if (request.method !== 'GET') return
  const site = request.headers['sec-fetch-site']
  const fromPage = site !== undefined && site !== 'none' && site !== 'same-origin'
  if (fromPage || request.headers.origin !== undefined) {
    throw new HttpError('HTTP_FORBIDDEN', 403, 'Access is restricted: use PUT')
  }
  if (hasBody(request)) throw badRequest('a GET that changes something takes no body: use PUT')
}
