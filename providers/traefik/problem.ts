import type { CatalogInstance } from '../../discovery/catalog/types.ts'

/**
 * Why something an operator may expect is not in the document. `label`: an instance's labels were refused as a whole.
 * `unused`: a label has no effect. `link`: a router without a service. `conflict`: several instances define one object
 * differently. `reference`: an object names another that is not there. `invalid`: Traefik would reject or disable the object.
 * `version`: a field that the configured Traefik does not know. `unreachable`: the others cannot reach its port.
 */
export type TraefikProblemCode =
  | 'label'
  | 'unused'
  | 'link'
  | 'conflict'
  | 'reference'
  | 'invalid'
  | 'version'
  | 'unreachable'

/** A problem with the labels of one instance. */
export interface TraefikProblem {
  readonly code: TraefikProblemCode
  readonly service: string
  readonly node: string
  readonly instance: string
  /** The label at fault, or the object in the form of one. */
  readonly label: string
  /** A sentence for the operator. */
  readonly message: string
}

/** A problem of `instance`; the sentence begins with who and which label. */
export function problem(
  code: TraefikProblemCode,
  instance: CatalogInstance,
  label: string,
  what: string,
): TraefikProblem {
  const { service, node } = instance
  const who = `service ${JSON.stringify(service.name)} on node ${JSON.stringify(node.record.name)}`
  return {
    code,
    service: service.name,
    node: node.record.name,
    instance: service.id,
    label,
    message: `${who}: ${label} ${what}`,
  }
}
