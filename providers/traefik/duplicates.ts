import { type JsonObject, sameJson } from './json.ts'
import { byPrecedence, type Merged, type MergedObject } from './merge.ts'

/** A router that another one leaves no request for. */
export interface Shadowed {
  readonly router: MergedObject
  readonly by: MergedObject
}

/**
 * Routers of different names that ask for the same requests, without the first of each in the order of precedence: Traefik
 * takes any of them, which may be another one after each change.
 */
export function findShadowed(merged: Merged): readonly Shadowed[] {
  const routers: MergedObject[] = []
  for (const object of merged.values()) {
    if (object.kind === 'routers' && object.section !== 'udp') routers.push(object)
  }
  return sameRules(routers, ({ value }) => value).flatMap((group) => {
    const kept: MergedObject[] = []
    return group.toSorted(byDeclaration).flatMap((each) => {
      const winner = kept.find(
        (other) =>
          other.section === each.section &&
          // What is gone gets no request that anybody else asks for, whatever its priority was.
          ((each.owner.gone && !other.owner.gone) ||
            (meets(other.value, each.value) && !sameJson(other.value, each.value))),
      )
      if (winner !== undefined) return [{ router: each, by: winner }]
      kept.push(each)
      return []
    })
  })
}

/** By who declares it first, then by where in its labels. */
function byDeclaration(a: MergedObject, b: MergedObject): number {
  if (a.owner !== b.owner) return byPrecedence(a.owner, b.owner)
  const at = ({ key }: MergedObject) => a.owner.declared.findIndex((each) => each.key === key)
  return at(a) - at(b)
}

/**
 * True if Traefik could not tell which of the two to take: the same rule with the same priority on a common entry point.
 * Routers with TLS and routers without it do not meet.
 */
export function meets(a: JsonObject, b: JsonObject): boolean {
  if (a.rule !== b.rule || (a.tls === undefined) !== (b.tls === undefined)) return false
  if (priorityOf(a) !== priorityOf(b)) return false
  const [left, right] = [a.entryPoints, b.entryPoints]
  if (!Array.isArray(left) || !Array.isArray(right) || left.length === 0 || right.length === 0) return true
  return left.some((each) => right.includes(each))
}

/** Those that are not alone with their rule, together: only they can meet. */
export function sameRules<R>(
  routers: readonly R[],
  router: (each: R) => JsonObject,
): readonly (readonly R[])[] {
  const first = new Map<string, R>()
  const groups = new Map<string, R[]>()
  for (const each of routers) {
    const rule = String(router(each).rule ?? '')
    const other = first.get(rule)
    if (other === undefined) {
      first.set(rule, each)
      continue
    }
    const group = groups.get(rule)
    if (group === undefined) groups.set(rule, [other, each])
    else group.push(each)
  }
  return [...groups.values()]
}

/** Without a number the length of the rule counts. */
function priorityOf(router: JsonObject): number {
  const priority = Number(router.priority ?? 0)
  return priority === 0 ? String(router.rule ?? '').length : priority
}
