import type { ServiceInstance } from '../../discovery/catalog/types.ts'

/** A container that is to have an id in the catalogue. */
export interface Nameless {
  readonly containerId: string
  readonly containerName: string
  readonly service: string
}

/**
 * Gives instances their ids, `service@node`, and `service@node#2` and so on where there are several on one node. Who had an id
 * keeps it: by the id of the container, or by its name if it was made anew.
 * @param known what the node has in its catalogue already, from whatever source
 * @returns ids by id of the container
 */
export function nameInstances(
  node: string,
  containers: readonly Nameless[],
  known: Iterable<ServiceInstance>,
): ReadonlyMap<string, string> {
  const ids = new Map<string, string>()
  const taken = new Set<string>()
  const ours: ServiceInstance[] = []
  for (const instance of known) {
    if (instance.source?.kind === 'docker') ours.push(instance)
    else taken.add(instance.id)
  }
  const sorted = containers.toSorted(
    (a, b) =>
      compare(a.service, b.service) ||
      compare(a.containerName, b.containerName) ||
      compare(a.containerId, b.containerId),
  )
  const keep = (isSame: (instance: ServiceInstance, container: Nameless) => boolean) => {
    for (const container of sorted) {
      if (ids.has(container.containerId)) continue
      const found = ours.find(
        (instance) =>
          !taken.has(instance.id) && instance.name === container.service && isSame(instance, container),
      )
      if (found === undefined) continue
      ids.set(container.containerId, found.id)
      taken.add(found.id)
    }
  }
  keep(({ source }, { containerId }) => source?.id === containerId)
  keep(({ source }, { containerName }) => source?.name === containerName)
  for (const { containerId, service } of sorted) {
    if (ids.has(containerId)) continue
    let id = `${service}@${node}`
    for (let n = 2; taken.has(id); n++) id = `${service}@${node}#${n}`
    ids.set(containerId, id)
    taken.add(id)
  }
  return ids
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
