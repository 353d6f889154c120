import type { SessionSpec } from '../consensus/client.ts'
import { SERF_HEALTH } from '../discovery/catalog/shapes.ts'
import type { Catalog, CatalogNode } from '../discovery/catalog/types.ts'

/** What a session hangs on: its node, and the checks it names. */
export type CheckedSession = Pick<SessionSpec, 'node' | 'nodeChecks' | 'serviceChecks'>

/** Why a session may not begin, or may not go on. `check`: its id. */
export type SessionFault =
  /** The catalogue does not show it: nobody knows it, or it left. */
  | { readonly kind: 'node-missing' }
  /** The membership calls it failed, so `serfHealth` is critical, and nobody runs its other checks. */
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
  if (ids.length > 0 && !node.alive) return { kind: 'node-failed' }
  for (const check of ids) {
    const watched = check === SERF_HEALTH && node.record.declared === undefined
    const status = watched ? 'passing' : node.record.checks.get(check)?.status
    if (status === undefined) return { kind: 'check-missing', check }
    if (status === 'critical') return { kind: 'check-critical', check }
  }
  return null
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
    case 'node-failed':
      return `Check '${SERF_HEALTH}' is in critical state`
    case 'check-missing':
      return `Missing check '${fault.check}' registration`
    case 'check-critical':
      return `Check '${fault.check}' is in critical state`
  }
}

/** A name goes to the node that lives: its dead self of before, with another identity, may still be shown. */
function nodeNamed(name: string, catalog: Pick<Catalog, 'node' | 'nodes'>): CatalogNode | undefined {
  const node = catalog.node(name)
  if (node?.alive) return node
  return catalog.nodes().find(({ alive, record }) => alive && record.name === name) ?? node
}
