import { ComposeError } from './errors.ts'

/** Values of variables; undefined = not set. */
export type Variables = (name: string) => string | undefined

/** What a text became, and the variables it names that have neither a value nor a default. */
export interface Interpolated {
  readonly text: string
  readonly unset: readonly string[]
}

const NAME = /[A-Za-z_][A-Za-z0-9_]*/y
const NESTING_MAX = 16

/**
 * Puts values in the place of variables as Compose does: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`,
 * `${NAME:+instead}`, `${NAME+instead}`, `${NAME:?error}`, `${NAME?error}`; `$$` is a dollar sign. What follows an operator may
 * hold variables itself.
 * (docs.docker.com, Compose file reference, "Interpolation")
 * @throws ComposeError for a syntax error, and for a variable that is required and not set
 */
export function interpolate(source: string, variables: Variables): Interpolated {
  const unset = new Set<string>()
  let at = 0

  function walk(stop: string, depth: number): string {
    if (depth > NESTING_MAX) throw new ComposeError('variables are nested too deep')
    let out = ''
    while (at < source.length && source[at] !== stop) {
      if (source[at] !== '$') {
        out += source[at++]
        continue
      }
      at++
      if (source[at] === '$') {
        out += '$'
        at++
      } else if (source[at] === '{') {
        at++
        out += braced(depth)
      } else {
        const name = readName()
        if (name === '')
          throw new ComposeError('a "$" stands before no variable; write "$$" for a dollar sign')
        out += value(name)
      }
    }
    return out
  }

  function braced(depth: number): string {
    const name = readName()
    if (name === '') throw new ComposeError('"${" is not followed by the name of a variable')
    const operator = /:?[-+?]/y
    operator.lastIndex = at
    const [found] = operator.exec(source) ?? []
    if (found === undefined) {
      close(name)
      return value(name)
    }
    at += found.length
    const before = [...unset]
    const argument = walk('}', depth + 1)
    close(name)
    const current = variables(name)
    const isSet = current !== undefined && !(found.startsWith(':') && current === '')
    const takesArgument = found.endsWith('+') ? isSet : !isSet
    if (!takesArgument) {
      // Variables in what is not taken are not missed.
      unset.clear()
      for (const each of before) unset.add(each)
    }
    if (found.endsWith('+')) return isSet ? argument : ''
    if (isSet) return current ?? ''
    if (found.endsWith('?')) {
      throw new ComposeError(
        `the variable ${name} is required and not set${argument === '' ? '' : `: ${argument}`}`,
      )
    }
    return argument
  }

  function readName(): string {
    NAME.lastIndex = at
    const name = NAME.exec(source)?.[0] ?? ''
    at += name.length
    return name
  }

  function close(name: string): void {
    if (source[at] !== '}') throw new ComposeError(`"\${${name}" has no closing "}"`)
    at++
  }

  function value(name: string): string {
    const found = variables(name)
    if (found === undefined) unset.add(name)
    return found ?? ''
  }

  const text = walk('', 0)
  return { text, unset: [...unset] }
}
