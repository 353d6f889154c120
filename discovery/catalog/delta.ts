import { isDeepStrictEqual } from 'node:util'
import { checkReferences } from './shapes.ts'
import type { HealthCheck, NodeRecord, RecordVersion, ServiceInstance } from './types.ts'

/** What leads from one version of a record to a later one of the same incarnation. */
export interface RecordStep {
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
export function diffRecords(before: NodeRecord, after: NodeRecord): RecordStep {
  return {
    services: changed(before.services, after.services),
    checks: changed(before.checks, after.checks),
    removedServices: removed(before.services, after.services),
    removedChecks: removed(before.checks, after.checks),
  }
}

/**
 * The record after the step, with a new version. What was removed needs no mark of its own: the version orders all steps, and
 * none is taken but at the version it starts from.
 * @throws CatalogError `CAT_INVALID` when the result would not hold together.
 */
export function applyStep(record: NodeRecord, step: RecordStep, version: RecordVersion): NodeRecord {
  const services = new Map(record.services)
  const checks = new Map(record.checks)
  for (const id of step.removedChecks) checks.delete(id)
  for (const id of step.removedServices) services.delete(id)
  for (const service of step.services) services.set(service.id, service)
  for (const check of step.checks) checks.set(check.id, check)
  const { incarnation, sequence } = version
  const next: NodeRecord = Object.freeze({
    ...record,
    version: Object.freeze({ incarnation, sequence }),
    services,
    checks,
  })
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
