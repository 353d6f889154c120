import type { SessionSpec } from '../consensus/client.ts'
import { SERF_HEALTH } from '../discovery/catalog/shapes.ts'
import type { Catalog, CatalogNode, CheckStatus } from '../discovery/catalog/types.ts'

/** What a session hangs on: its node, and the checks it names. */
export type CheckedSession = Pick<SessionSpec, 'node' | 'nodeChecks' | 'serviceChecks'>

/** Why a session may not begin, or may not go on. `check`: its id. */
export type SessionFault =
  | { readonly kind: 'node-missing' }
  | { readonly kind: 'node-failed' }
  | { readonly kind: 'check-missing'; readonly check: string }
  | { readonly kind: 'check-critical'; readonly check: string }

/** Ids of the checks a session names, of its node and of services on it; empty for one that ends by its TTL alone. */
export function checkIds(session: CheckedSession): readonly string[] {
  return [...session.nodeChecks, ...(session.serviceChecks ?? []).map(({ id }) => id)]
}

/**
 * The first thing wrong with what a session hangs on, as this node's catalogue has it; null if nothing is. A session that
 * names no checks only needs its node to be there.
 */
export function sessionFault(
  session: CheckedSession,
  catalog: Pick<Catalog, 'node' | 'nodes'>,
): SessionFault | null {
  const node = nodeNamed(session.node, catalog)
  if (node === undefined) return { kind: 'node-missing' }
  const ids = checkIds(session)
  for (const check of ids) {
    const status = statusOf(check, node)
    if (status === undefined) return { kind: 'check-missing', check }
    if (status === 'critical') return { kind: 'check-critical', check }
  }
  // Nobody runs the checks of a node that has failed: they say what was true before.
  return ids.length > 0 && !node.alive ? { kind: 'node-failed' } : null
}

/** Why a session cannot be created, in Consul's words; null if it can. */
export function validateSessionChecks(
  session: CheckedSession,
  catalog: Pick<Catalog, 'node' | 'nodes'>,
): string | null {
  const fault = sessionFault(session, catalog)
  switch (fault?.kind) {
    case undefined:
      return null
    case 'node-missing':
      return 'Missing node registration'
    case 'check-missing':
      return `Missing check '${fault.check}' registration`
    case 'check-critical':
      return `Check '${fault.check}' is in critical state`
    case 'node-failed':
      return `Check '${SERF_HEALTH}' is in critical state`
  }
}

/** A name goes to the node that lives: its dead self of before, with another identity, may still be shown. */
function nodeNamed(name: string, catalog: Pick<Catalog, 'node' | 'nodes'>): CatalogNode | undefined {
  const node = catalog.node(name)
  if (node?.alive) return node
  return catalog.nodes().find(({ alive, record }) => alive && record.name === name) ?? node
}

function statusOf(check: string, { record, alive }: CatalogNode): CheckStatus | undefined {
  if (check === SERF_HEALTH) return alive ? 'passing' : 'critical'
  return record.checks.get(check)?.status
}
