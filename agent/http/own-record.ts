import type { NodeRecord } from '../../discovery/catalog/types.ts'
import type { HttpContext } from './collaborators.ts'

/**
 * The record of this node with what its checks say now. The record itself, which every node is told, may hold an older
 * output of a check for up to a minute.
 */
export function ownRecord({ local, health }: Pick<HttpContext, 'local' | 'health'>): NodeRecord {
  const record = local.record()
  const checks = new Map(record.checks)
  for (const [id, check] of record.checks) {
    const output = health.output(id)
    if (output !== undefined && output !== check.output) checks.set(id, { ...check, output })
  }
  return { ...record, checks }
}
