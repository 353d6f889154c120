/** What a `{name:kind}` in an expectation stands for. */
const KINDS: Readonly<Record<string, string>> = {
  index: '[1-9][0-9]*',
  uuid: '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}',
  text: '[^"]*',
}

const VARIABLE = /\{([a-zA-Z][a-zA-Z0-9]*)(?::([a-z]+))?\}/g
const REPEAT = /«(\d+)×(,?) ?(.*?)»/gs

/** Values that a transcript has named so far. */
export type Variables = Map<string, string>

/** The text with every `«3× ab»` written out (`«3×, ab»`: with commas between) and every `{name}` replaced by its value. */
export function fill(text: string, variables: Variables): string {
  return unroll(text).replace(VARIABLE, (_, name: string, kind?: string) => {
    if (kind !== undefined)
      throw new Error(`{${name}:${kind}}: only an expectation can give a name to a value`)
    return named(name, variables)
  })
}

/**
 * Compares a text with an expectation. Where that says `{name:kind}` any value of the kind will do and gets the name; where
 * it says `{name}` the value must be the one of that name. Returns the text when it fits, else what was expected.
 */
export function match(expected: string, actual: string, variables: Variables): string {
  const captured: string[] = []
  let source = ''
  let end = 0
  const template = unroll(expected)
  for (const found of template.matchAll(VARIABLE)) {
    const [whole, name = '', kind] = found
    source += RegExp.escape(template.slice(end, found.index))
    end = found.index + whole.length
    if (kind === undefined) {
      const own = captured.indexOf(name)
      source += own < 0 ? RegExp.escape(named(name, variables)) : `\\${own + 1}`
      continue
    }
    const values = KINDS[kind]
    if (values === undefined) throw new Error(`{${name}:${kind}}: there is no such kind`)
    captured.push(name)
    source += `(${values})`
  }
  source += RegExp.escape(template.slice(end))
  const matched = new RegExp(`^${source}$`).exec(actual)
  if (matched === null) return filledAsFarAsKnown(template, variables)
  for (const [i, name] of captured.entries()) variables.set(name, matched[i + 1] ?? '')
  return actual
}

/** True if every member of `expected` is in `actual`, at any depth; lists have as many elements. */
export function includes(actual: unknown, expected: unknown): boolean {
  if (typeof expected !== 'object' || expected === null) return actual === expected
  if (typeof actual !== 'object' || actual === null || Array.isArray(actual) !== Array.isArray(expected)) {
    return false
  }
  if (Array.isArray(actual) && actual.length !== Object.keys(expected).length) return false
  return Object.entries(expected).every(([name, value]) =>
    includes((actual as Record<string, unknown>)[name], value),
  )
}

function unroll(text: string): string {
  return text.replace(REPEAT, (_, times: string, comma: string, piece: string) =>
    Array<string>(Number(times)).fill(piece).join(comma),
  )
}

function named(name: string, variables: Variables): string {
  const value = variables.get(name)
  if (value === undefined) throw new Error(`nothing is called {${name}} yet`)
  return value
}

function filledAsFarAsKnown(text: string, variables: Variables): string {
  return text.replace(VARIABLE, (whole, name: string, kind?: string) =>
    kind === undefined ? (variables.get(name) ?? whole) : whole,
  )
}
