import type { Member } from '../../discovery/membership/types.ts'
import { DEFAULT_PRIORITY } from '../../providers/traefik/compose.ts'
import { compareText } from '../../providers/traefik/merge.ts'
import type { TraefikViewOptions } from '../../providers/traefik/view.ts'
import type { TraefikConfig } from '../config/types.ts'

/** The settings as the view takes them. */
export function traefikOptions(settings: TraefikConfig): TraefikViewOptions {
  const { version, domain, nodeHosts, entryPoints, certResolver, guardPercent, holdMs, settleMs } = settings
  return {
    render: { release: version, domain, nodeHosts, entryPoints, certResolver },
    guard: { percent: guardPercent, holdMs },
    settleMs,
  }
}

/** `node.priority` by name of the node, of those that say one other than the default. */
export function prioritiesOf(members: readonly Member[]): ReadonlyMap<string, number> {
  const said = members.flatMap(({ name, meta }) => {
    const priority = Number(meta.priority ?? DEFAULT_PRIORITY)
    return Number.isInteger(priority) && priority !== DEFAULT_PRIORITY ? [[name, priority] as const] : []
  })
  return new Map(said.sort(([a], [b]) => compareText(a, b)))
}
