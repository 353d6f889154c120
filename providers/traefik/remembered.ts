import type { CatalogInstance } from '../../discovery/catalog/types.ts'
import type { Contribution } from './instance.ts'
import { compareText } from './merge.ts'

/** What is remembered of a service: the labels its instances had, and on which nodes each set of them. */
export interface RememberedService {
  readonly name: string
  readonly sets: readonly {
    readonly labels: Readonly<Record<string, string>>
    readonly nodes: readonly string[]
  }[]
}

/** A service as it is kept. */
export interface Remembered extends RememberedService {
  readonly text: string
  /** Its last instance was seen to go: it is forgotten when its time is over. */
  readonly leaving: boolean
}

/** Text longer than this is not remembered. */
const TEXT_CHARS_MAX = 64 * 1024

/**
 * What to remember of one service, given what all its instances add; equal text for equal labels and nodes. Null if it has
 * no routes.
 */
export function textToRemember(contributions: readonly Contribution[]): string | null {
  const sets = new Map<string, Set<string>>()
  for (const { instance, labels, declared } of contributions) {
    if (declared.length === 0 || !instance.service.name.isWellFormed()) continue
    const text = JSON.stringify(Object.fromEntries(labels))
    const nodes = sets.get(text) ?? new Set()
    sets.set(text, nodes.add(instance.node.record.name))
  }
  if (sets.size === 0) return null
  const sorted = [...sets].sort(([a], [b]) => compareText(a, b))
  const text = JSON.stringify({
    sets: sorted.map(([labels, nodes]) => ({
      labels: JSON.parse(labels),
      nodes: [...nodes].sort(compareText),
    })),
  })
  return text.length <= TEXT_CHARS_MAX ? text : null
}

/** Reads the text of {@link textToRemember}; null if it is none. */
export function readRemembered(name: string, text: string): RememberedService | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  const sets = isRecord(value) ? value.sets : undefined
  if (!Array.isArray(sets)) return null
  const good = sets.every(
    (set) =>
      isRecord(set) &&
      isRecord(set.labels) &&
      Object.values(set.labels).every((label) => typeof label === 'string') &&
      Array.isArray(set.nodes) &&
      set.nodes.every((node) => typeof node === 'string'),
  )
  return good ? { name, sets: sets as RememberedService['sets'] } : null
}

/** Stand-ins for the instances of a service that has none: critical, on nodes that are not alive. */
export function standIns({ name, sets }: RememberedService): readonly CatalogInstance[] {
  return sets.flatMap(({ labels, nodes }, at) => nodes.map((node) => standIn(name, labels, node, at)))
}

function standIn(
  name: string,
  labels: Readonly<Record<string, string>>,
  node: string,
  at: number,
): CatalogInstance {
  const id = `${name} (gone, ${at})`
  const service = {
    id,
    name,
    tags: [],
    address: '127.0.0.1',
    // Any port: nothing is sent there.
    port: 1,
    meta: {},
    weights: { passing: 1, warning: 1 },
    enableTagOverride: false,
    taggedAddresses: {},
    labels,
  }
  const record = {
    id: `gone:${node}`,
    name: node,
    address: '127.0.0.1',
    version: { incarnation: 0, sequence: 0 },
    meta: {},
    services: new Map([[id, service]]),
    checks: new Map(),
  }
  const indexed = { createIndex: 1, modifyIndex: 1 }
  return {
    ...indexed,
    node: { ...indexed, record, alive: false, cordoned: false },
    service,
    checks: [],
    status: 'critical',
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
