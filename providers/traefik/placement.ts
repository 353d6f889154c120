import type { CatalogInstance } from '../../discovery/catalog/types.ts'
import { LabelError } from './errors.ts'
import type { Labels } from './labels.ts'
import { parseBool, parseInteger } from './scalars.ts'

/** Which traffic one copy of a service gets, beside being healthy: what the labels `constellation.*` say. */
export interface Placement {
  /** Copies of a higher tier get traffic only while no lower one has a healthy copy; "priority" = that of the node. */
  readonly tier?: number | 'priority'
  /** Its share among the copies of its tier. */
  readonly weight?: number
  /** Percent of all requests that go to the canary copies together. */
  readonly canary?: number
  /** Percent of the requests it gets a copy of, without being the one who answers. */
  readonly mirror?: number
  /** Where the poller says on which node it runs, copies there come before all tiers. */
  readonly localFirst?: boolean
  /** It is to get no new traffic. */
  readonly drain?: boolean
  /** Statuses upon which the next tier is asked instead, such as "502-504". */
  readonly failover?: readonly string[]
}

const PREFIX = 'constellation.'
const TIER_MAX = 1000
const WEIGHT_MAX = 1000

type Reader = (label: string, text: string) => Placement

const READERS: Readonly<Record<string, Reader>> = {
  tier: (label, text) => ({
    tier: text === 'priority' ? 'priority' : whole(label, text, 0, TIER_MAX, ', or priority'),
  }),
  weight: (label, text) => ({ weight: whole(label, text, 0, WEIGHT_MAX) }),
  canary: (label, text) => ({ canary: whole(label, text.replace(/%$/, ''), 0, 100) }),
  mirror: (label, text) => ({ mirror: whole(label, text.replace(/%$/, ''), 0, 100) }),
  'local-first': (label, text) => ({ localFirst: bool(label, text) }),
  drain: (label, text) => ({ drain: bool(label, text) }),
  failover: (label, text) => ({ failover: statuses(label, text) }),
}

/** The labels this view reads besides Traefik's. */
export const PLACEMENT_LABELS: readonly string[] = Object.keys(READERS).map((name) => `${PREFIX}${name}`)

/** True if {@link placementOf} reads the label. */
export function isPlacementLabel(label: string): boolean {
  return PLACEMENT_LABELS.includes(label.toLowerCase())
}

/** Reads the `constellation.*` labels about traffic; others are somebody else's. @throws LabelError for a bad value. */
export function placementOf(labels: Labels): Placement {
  let placement: Placement = {}
  for (const [label, text] of labels) {
    const reader = isPlacementLabel(label) ? READERS[label.slice(PREFIX.length).toLowerCase()] : undefined
    if (reader !== undefined) placement = { ...placement, ...reader(label, text.trim()) }
  }
  if (placement.canary !== undefined && placement.mirror !== undefined) {
    throw new LabelError(
      `${PREFIX}mirror`,
      `excludes ${PREFIX}canary: a copy answers requests or it does not`,
    )
  }
  return placement
}

/** The labels of an instance for this view: of its source, else tags of the form `traefik.x=y`, else meta. */
export function labelsOf({ service }: CatalogInstance): Labels {
  const labels = new Map<string, string>()
  const take = (key: string, value: string) => {
    const lower = key.toLowerCase()
    if (lower.startsWith('traefik.') || lower.startsWith(PREFIX)) labels.set(key, value)
  }
  for (const [key, value] of Object.entries(service.meta)) take(key, value)
  for (const tag of service.tags) {
    const at = tag.indexOf('=')
    if (at > 0) take(tag.slice(0, at), tag.slice(at + 1))
  }
  for (const [key, value] of Object.entries(service.labels ?? {})) take(key, value)
  return new Map([...labels].sort(([a], [b]) => (a < b ? -1 : 1)))
}

function whole(label: string, text: string, min: number, max: number, besides = ''): number {
  const value = parseInteger(text)
  if (value === undefined || value < min || value > max) {
    throw new LabelError(label, `must be a whole number from ${min} to ${max}${besides}`)
  }
  return value
}

function bool(label: string, text: string): boolean {
  const value = parseBool(text)
  if (value === undefined) throw new LabelError(label, 'must be true or false')
  return value
}

function statuses(label: string, text: string): readonly string[] {
  const list = text.split(',').map((item) => item.trim())
  if (!list.every((item) => /^[1-5][0-9]{2}(-[1-5][0-9]{2})?$/.test(item))) {
    throw new LabelError(label, 'must be statuses such as 502-504 or 500,503')
  }
  return list
}
