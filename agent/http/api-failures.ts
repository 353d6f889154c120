import { Type } from 'typebox'
import type { ResponseSpec } from './routes.ts'

/** The body of an error below /api/v1. */
export const Failure = Type.Object({ error: Type.Object({ code: Type.String(), message: Type.String() }) })

/** What every route below /api/v1 may answer instead. */
export const FAILURES: Readonly<Record<number, ResponseSpec>> = {
  403: { description: 'Permission denied', json: Failure },
  500: { description: 'Internal error', json: Failure },
}
