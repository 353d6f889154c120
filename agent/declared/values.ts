import { LIMITS } from '../../discovery/catalog/limits.ts'
import { readCheck, readFields, readMeta, readService, readText } from '../../discovery/catalog/shapes.ts'
import type { DeclaredNode, HealthCheck, ServiceInstance } from '../../discovery/catalog/types.ts'

/** What is declared about a node itself. */
export type DeclaredHost = Pick<DeclaredNode, 'name' | 'uuid' | 'address' | 'taggedAddresses' | 'meta'>

/** A declaration as the value of its key (JSON). */
export function encodeDeclaration(value: DeclaredHost | ServiceInstance | HealthCheck): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

/** Reads the value of a declared node. @throws CatalogError `CAT_INVALID`, SyntaxError */
export function decodeHost(value: Uint8Array): DeclaredHost {
  return readHost(parse(value))
}

/** Checks the bounds of a declared node. @throws CatalogError `CAT_INVALID` naming the field */
export function readHost(value: unknown): DeclaredHost {
  const fields = readFields(value, 'a node')
  return {
    name: readText(fields.name, 1, LIMITS.nodeNameChars, 'the name of a node'),
    uuid: readText(fields.uuid, 0, LIMITS.peerIdChars, 'the id of a node'),
    address: readText(fields.address, 0, LIMITS.addressChars, 'the address of a node'),
    taggedAddresses: readMeta(fields.taggedAddresses, 'the tagged addresses of a node'),
    meta: readMeta(fields.meta, 'the meta of a node'),
  }
}

/** Reads the value of a declared service. @throws CatalogError `CAT_INVALID`, SyntaxError */
export function decodeService(value: Uint8Array): ServiceInstance {
  return readService(parse(value))
}

/** Reads the value of a declared check. @throws CatalogError `CAT_INVALID`, SyntaxError */
export function decodeCheck(value: Uint8Array): HealthCheck {
  return readDeclaredCheck(parse(value))
}

/** Checks the bounds of a declared check. @throws CatalogError `CAT_INVALID` naming the field */
export function readDeclaredCheck(value: unknown): HealthCheck {
  const check = readCheck(value)
  const { definition } = readFields(value, 'a check')
  return definition === undefined ? check : { ...check, definition: readFields(definition, 'a definition') }
}

function parse(value: Uint8Array): unknown {
  return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(value))
}
