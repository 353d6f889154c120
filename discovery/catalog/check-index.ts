import { compareText, type NodeView } from './node-view.ts'
import { NODE_CORDON, SERF_HEALTH } from './shapes.ts'
import type { CheckStatus, NodeCheck } from './types.ts'

const NONE: readonly NodeCheck[] = Object.freeze([])

/** Every check of every shown node, by status and by node; built at the first question after a change. */
export class CheckIndex {
  readonly #views: () => readonly NodeView[]
  #all: readonly NodeCheck[] | null = null
  #byStatus: ReadonlyMap<CheckStatus, readonly NodeCheck[]> | null = null

  /** @param views the views of the shown nodes in the order of their names */
  constructor(views: () => readonly NodeView[]) {
    this.#views = views
  }

  /** Something changed: what was built is void. */
  forget(): void {
    this.#all = null
    this.#byStatus = null
  }

  all(): readonly NodeCheck[] {
    this.#all ??= Object.freeze(this.#views().flatMap(checksOf))
    return this.#all
  }

  in(status: CheckStatus): readonly NodeCheck[] {
    this.#byStatus ??= Map.groupBy(this.all(), ({ check }) => check.status)
    return this.#byStatus.get(status) ?? NONE
  }
}

/** The checks of one node: what is said about it by others first, then its own by id. */
export function checksOf(view: NodeView): NodeCheck[] {
  const { node } = view
  const said = view.nodeChecks.filter(({ id }) => id === SERF_HEALTH || id === NODE_CORDON)
  const own = [...node.record.checks.values()].sort((a, b) => compareText(a.id, b.id))
  return [...said, ...own].map((check) => ({ node, check }))
}
