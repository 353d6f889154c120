/** A JSON Schema as far as the fuzzer looks into one. */
export interface Schema {
  readonly type?: string
  readonly enum?: readonly unknown[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: Schema | boolean
  readonly patternProperties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
}

/** One operation of the interface, as the running server describes it. */
export interface Operation {
  /** Upper case. */
  readonly method: string
  /** With `{name}` for what differs. */
  readonly path: string
  /** Names of its query parameters. */
  readonly parameters: readonly string[]
  readonly body: Schema | null
  /** Its success answers; null where the body is no JSON. */
  readonly success: Schema | null
  readonly permission: string
}

interface Described {
  readonly 'x-permission'?: string
  readonly parameters?: readonly { readonly name: string; readonly in: string }[]
  readonly requestBody?: { readonly content?: Readonly<Record<string, { readonly schema?: Schema }>> }
  readonly responses?: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema?: Schema }>> }>
  >
}

/** Every operation of an OpenAPI document, in its order. */
export function operationsOf(document: unknown): Operation[] {
  const { paths } = document as { paths: Readonly<Record<string, Readonly<Record<string, Described>>>> }
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, described]) => ({
      method: method.toUpperCase(),
      path,
      parameters: (described.parameters ?? []).flatMap((each) => (each.in === 'query' ? [each.name] : [])),
      body: described.requestBody?.content?.['application/json']?.schema ?? null,
      success: described.responses?.['200']?.content?.['application/json']?.schema ?? null,
      permission: described['x-permission'] ?? '',
    })),
  )
}

/** `GET /v1/kv/{key}`. */
export function nameOf({ method, path }: Operation): string {
  return `${method} ${path}`
}

/** True if this operation is there to change something. */
export function isWrite({ permission, method }: Operation): boolean {
  return permission.endsWith(':write') || method === 'DELETE'
}

/** True for a read from the store, which answers with Consul's four headers. */
export function isStoreRead({ method, parameters }: Operation): boolean {
  return method === 'GET' && parameters.includes('index')
}

/** Names of the fields of a schema and of everything in it. */
export function fieldsOf(schema: Schema | null): ReadonlySet<string> {
  const names = new Set<string>()
  const visit = (part: Schema | undefined): void => {
    if (part === undefined) return
    for (const [name, field] of Object.entries(part.properties ?? {})) {
      names.add(name)
      visit(field)
    }
    for (const field of Object.values(part.patternProperties ?? {})) visit(field)
    if (typeof part.additionalProperties === 'object') visit(part.additionalProperties)
    visit(part.items)
    for (const option of part.anyOf ?? []) visit(option)
  }
  visit(schema ?? undefined)
  return names
}
