import type { CatalogNode, CheckStatus, HealthCheck } from '../../discovery/catalog/types.ts'

/** A check of a node, as an entry of its record. */
export function check(id: string, status: CheckStatus): readonly [string, HealthCheck] {
  const texts = { name: id, notes: '', output: '', serviceId: '', type: 'ttl', interval: '', timeout: '' }
  return [id, { id, status, ...texts }]
}

/** A node with these checks. One that was started again has a higher incarnation. */
export function node(
  name: string,
  alive: boolean,
  checks: readonly (readonly [string, HealthCheck])[] = [],
  incarnation = 1,
): CatalogNode {
  const record = {
    id: `peer of ${name}`,
    name,
    address: '10.0.0.1',
    version: { incarnation, sequence: 1 },
    meta: {},
    services: new Map(),
    checks: new Map(checks),
  }
  return { record, alive, cordoned: false, createIndex: 1, modifyIndex: 1 }
}

/** A catalogue of these nodes. As in the real one, of several with one name the last gets it. */
export function catalogOf(...nodes: CatalogNode[]) {
  return { nodes: () => nodes, node: (name: string) => nodes.findLast(({ record }) => record.name === name) }
}
