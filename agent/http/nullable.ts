import { type TNull, type TSchema, type TUnion, Type } from 'typebox'

/** A schema of something that may be null. */
export function nullable<T extends TSchema>(schema: T): TUnion<[T, TNull]> {
  return Type.Union([schema, Type.Null()])
}
