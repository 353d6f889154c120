/** A decoded query string: name → one value, or several in order of appearance. */
export type Query = Readonly<Record<string, unknown>>

/** True if the parameter is present, with or without a value (`?stale`, `?stale=`, `?stale=1`). */
export function hasParam(query: unknown, name: string): boolean {
  return typeof query === 'object' && query !== null && Object.hasOwn(query, name)
}

/** The first value of a parameter; undefined if absent. */
export function firstParam(query: unknown, name: string): string | undefined {
  return allParams(query, name)[0]
}

/** Every value of a repeatable parameter, in order. */
export function allParams(query: unknown, name: string): readonly string[] {
  if (!hasParam(query, name)) return []
  const value = (query as Query)[name]
  return (Array.isArray(value) ? value : [value]).map(String)
}

/** The query string with its parameters sorted by name, as Consul prints it in messages. */
export function sortedQuery(url: string): string {
  const at = url.indexOf('?')
  const params = new URLSearchParams(at < 0 ? '' : url.slice(at + 1))
  params.sort()
  return params.toString()
}
