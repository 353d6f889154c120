import { isDeepStrictEqual } from 'node:util'
import { checkReferences } from './shapes.ts'
import type { HealthCheck, NodeRecord, RecordVersion, ServiceInstance } from './types.ts'

/** The step of one owner's record from sequence `from` to `to` of one incarnation. */
export interface RecordDelta {
  readonly owner: string
  readonly incarnation: number
  readonly from: number
  readonly to: number
  /** New or changed. */
  readonly services: readonly ServiceInstance[]
  readonly checks: readonly HealthCheck[]
  readonly removedServices: readonly string[]
  readonly removedChecks: readonly string[]
}

/** Positive if `a` is newer than `b`. */
export function compareVersions(a: RecordVersion, b: RecordVersion): number {
  return a.incarnation - b.incarnation || a.sequence - b.sequence
}

/** What leads from one record to a later one of the same incarnation. */
export function diffRecords(before: NodeRecord, after: NodeRecord): RecordDelta {
  return {
    owner: after.id,
    incarnation: after.version.incarnation,
    from: before.version.sequence,
    to: after.version.sequence,
    services: changed(before.services, after.services),
    checks: changed(before.checks, after.checks),
    removedServices: removed(before.services, after.services),
    removedChecks: removed(before.checks, after.checks),
  }
}

/**
 * The record after the step. The caller has made sure that the delta starts at the record's version.
 * @throws CatalogError `CAT_INVALID` when the result would not hold together.
 */
export function applyDelta(record: NodeRecord, delta: RecordDelta): NodeRecord {
  const services = new Map(record.services)
  const checks = new Map(record.checks)
  for (const id of delta.removedChecks) checks.delete(id)
  for (const id of delta.removedServices) services.delete(id)
  for (const service of delta.services) services.set(service.id, service)
  for (const check of delta.checks) checks.set(check.id, check)
  const version = Object.freeze({ incarnation: delta.incarnation, sequence: delta.to })
  const next: NodeRecord = Object.freeze({ ...record, version, services, checks })
  checkReferences(next)
  return next
}

/** Whether two entries say the same. Entries that did not change are usually the same object. */
export function sameEntry(a: unknown, b: unknown): boolean {
  return a === b || isDeepStrictEqual(a, b)
}

function changed<T>(before: ReadonlyMap<string, T>, after: ReadonlyMap<string, T>): T[] {
  const out: T[] = []
  for (const [id, entry] of after) if (!sameEntry(before.get(id), entry)) out.push(entry)
  return out
}

function removed(before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): string[] {
  return [...before.keys()].filter((id) => !after.has(id))
}
