import type { FastifyRequest } from 'fastify'
import { badRequest, refused } from '../errors.ts'
import { firstParam } from '../query.ts'
import { compileFilter } from './compile.ts'
import { FilterError } from './errors.ts'
import { parseFilter } from './parse.ts'
import type { Shape } from './shape.ts'

/** A test for objects as they go over the wire. */
export type WireFilter = (object: unknown) => boolean

const everything: WireFilter = () => true

/**
 * The test that `?filter=` asks for, compiled once for the request; everything passes without one.
 * The test itself may throw as well, when it takes too much work.
 * @throws HttpError with what is wrong: 400 below /v1/agent, 500 elsewhere, as in Consul, where others than the agent answer there.
 */
export function requestFilter(request: FastifyRequest, shape: Shape): WireFilter {
  const text = firstParam(request.query, 'filter') ?? ''
  if (text === '') return everything
  const test = told(request, () => compileFilter(parseFilter(text), shape))
  return (object) => told(request, () => test(object))
}

/** Turns what is wrong with a filter into an answer. */
function told<T>(request: FastifyRequest, ask: () => T): T {
  try {
    return ask()
  } catch (error) {
    if (!(error instanceof FilterError)) throw error
    const isAgent = request.routeOptions.url?.startsWith('/v1/agent/') === true
    throw isAgent ? badRequest(error.message) : refused(error.message)
  }
}
