import { canonicalJson, isObject, type JsonObject } from './json.ts'
import type { Merged } from './merge.ts'

/** A router that another one leaves no request for. */
export interface Shadowed {
  /** "section.routers.name". */
  readonly key: string
  /** That of the other. */
  readonly by: string
}

/**
 * Routers of different names that ask for the same requests, without the first of each in the order of precedence: Traefik
 * takes any of them, which may be another one after each change.
 */
export function findShadowed({ config, owners }: Merged): readonly Shadowed[] {
  const routers = [...owners.keys()].flatMap((key) => {
    const router = routerAt(config, key)
    const gone = owners.get(key)?.gone === true
    return router === undefined ? [] : [{ key, router, gone, section: key.split('.', 1)[0] }]
  })
  return [...byRule(routers).values()].flatMap((group) => {
    const kept: (typeof routers)[number][] = []
    return group.flatMap((each) => {
      const winner = kept.find(
        (other) =>
          other.section === each.section &&
          // What is gone gets no request that anybody else asks for, whatever its priority was.
          ((each.gone && !other.gone) ||
            (meets(other.router, each.router) && !sameRouter(other.router, each.router))),
      )
      if (winner !== undefined) return [{ key: each.key, by: winner.key }]
      kept.push(each)
      return []
    })
  })
}

function routerAt(config: JsonObject, key: string): JsonObject | undefined {
  const [, section = '', name = ''] = /^(http|tcp)\.routers\.([\s\S]*)$/.exec(key) ?? []
  const kinds = config[section]
  const routers = isObject(kinds) ? kinds.routers : undefined
  const router = isObject(routers) ? routers[name] : undefined
  return isObject(router) ? router : undefined
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

/** True if the two do the same, under whatever name. */
export function sameRouter(a: JsonObject, b: JsonObject): boolean {
  return canonicalJson(a) === canonicalJson(b)
}

/** Routers by their rule: only those of one rule can meet. */
export function byRule<R extends { readonly router: JsonObject }>(
  routers: readonly R[],
): ReadonlyMap<string, readonly R[]> {
  const result = new Map<string, R[]>()
  for (const each of routers) {
    const rule = String(each.router.rule ?? '')
    const list = result.get(rule)
    if (list === undefined) result.set(rule, [each])
    else list.push(each)
  }
  return result
}

/** Without a number the length of the rule counts. */
function priorityOf(router: JsonObject): number {
  const priority = Number(router.priority ?? 0)
  return priority === 0 ? String(router.rule ?? '').length : priority
}
