import type { Catalog, HealthCheck } from '../catalog/types.ts'
import type { CheckState } from './check-state.ts'
import type { ProbeResult } from './probe.ts'
import type { CheckKind } from './types.ts'

/** An alias check. */
export type AliasKind = Extract<CheckKind, { type: 'alias' }>

/** What an alias reads of the catalogue. */
export type AliasSource = Pick<Catalog, 'node' | 'instancesOn' | 'checksOn' | 'synced' | 'onChange'>

/** Follows the health of another service or node, as this node's catalogue has it, with every change of the catalogue. */
export class AliasCheck {
  readonly #kind: AliasKind
  readonly #state: CheckState
  readonly #catalog: AliasSource
  readonly #self: string
  #stopWatching: (() => void) | null = null
  #looking = false

  /** @param self name of this node */
  constructor(
    kind: AliasKind,
    collaborators: { readonly state: CheckState; readonly catalog: AliasSource; readonly self: string },
  ) {
    this.#kind = kind
    this.#state = collaborators.state
    this.#catalog = collaborators.catalog
    this.#self = collaborators.self
  }

  start(): void {
    this.#stopWatching = this.#catalog.onChange({ kind: 'all' }, () => this.#lookSoon())
    this.#lookSoon()
  }

  stop(): void {
    this.#stopWatching?.()
    this.#stopWatching = null
  }

  /** Its own result is a change of the catalogue too, so it looks after the change and not within it. */
  #lookSoon(): void {
    if (this.#looking) return
    this.#looking = true
    queueMicrotask(() => {
      this.#looking = false
      if (this.#stopWatching === null) return
      const result = aliasResult(this.#kind, this.#catalog, {
        node: this.#self,
        check: this.#state.definition.id,
      })
      if (result !== null) this.#state.apply(result)
    })
  }
}

/**
 * The health of what an alias follows: the worst of its checks, those of its node and a cordon included (Consul's alias check);
 * critical if it is not there. Null while the catalogue is not complete and it may still turn up. Pure.
 * @param self the alias itself, which does not count: one that follows its own service would stay critical for ever
 */
export function aliasResult(
  kind: AliasKind,
  catalog: Omit<AliasSource, 'onChange'>,
  self: { readonly node: string; readonly check: string },
): ProbeResult | null {
  const name = kind.node || self.node
  const node = catalog.node(name)
  const checks: readonly HealthCheck[] | undefined =
    kind.service === ''
      ? node && nodeChecks(catalog, name)
      : catalog.instancesOn(name).find(({ service }) => service.id === kind.service)?.checks
  if (node === undefined || checks === undefined) {
    if (!catalog.synced) return null
    const what =
      node === undefined || kind.service === '' ? `Node ${name}` : `Service ${kind.service} on node ${name}`
    return { status: 'critical', output: `${what} could not be found` }
  }
  if (!node.alive) return { status: 'critical', output: `Node ${name} is not alive` }
  const failing = checks.filter(
    ({ id, status }) => status !== 'passing' && !(name === self.node && id === self.check),
  )
  const worst = failing.find(({ status }) => status === 'critical') ?? failing[0]
  if (worst === undefined) return { status: 'passing', output: 'All checks passing.' }
  return { status: worst.status, output: `Aliased check "${worst.name}" failing: ${worst.output}` }
}

/** The checks of a node itself, with what others say about it: that it lives, and its cordon. */
function nodeChecks(catalog: Pick<Catalog, 'checksOn'>, node: string): readonly HealthCheck[] {
  return catalog
    .checksOn(node)
    .map(({ check }) => check)
    .filter(({ serviceId }) => serviceId === '')
}
