import { FilterError } from './errors.ts'
import { type Expression, FILTER_LIMITS, type MatchOperator, type Path } from './expression.ts'
import { Scanner } from './scanner.ts'

interface Operator {
  readonly operator: MatchOperator
  readonly isNegated: boolean
  readonly takesValue: boolean
}

/** What is left of an operator that wants its value there: a value. Otherwise a selector. */
interface Operand {
  readonly at: number
  readonly value: string
  /** Null: it cannot be a selector. */
  readonly path: Path | null
}

const OPERATORS = '==, !=, in, not in, contains, not contains, is empty, is not empty, matches or not matches'
const POINTER = /^(?:\/[\p{L}\p{N}\-_.~:|]+)+$/u

/**
 * Parses a filter expression. `not` binds closest, then `and`, then `or`.
 * @throws FilterError `FLT_SYNTAX` with line and column, `FLT_TOO_LARGE`
 */
export function parseFilter(text: string): Expression {
  const { chars } = FILTER_LIMITS
  if (text.length > chars) {
    throw new FilterError('FLT_TOO_LARGE', `it has ${text.length} characters, the limit is ${chars}`)
  }
  return new Parser(text).parse()
}

class Parser {
  readonly #scanner: Scanner
  #comparisons = 0
  #depth = 0

  constructor(text: string) {
    this.#scanner = new Scanner(text)
  }

  parse(): Expression {
    const expression = this.#or()
    if (!this.#scanner.ended) throw this.#scanner.failure('expected "and", "or" or the end')
    return expression
  }

  #or(): Expression {
    return this.#chain('or', () => this.#chain('and', () => this.#not()))
  }

  #chain(kind: 'or' | 'and', next: () => Expression): Expression {
    const first = next()
    const terms = [first]
    while (this.#scanner.takeWord(kind)) terms.push(next())
    return terms.length === 1 ? first : { kind, terms }
  }

  #not(): Expression {
    if (!this.#scanner.takeWord('not')) return this.#term()
    return this.#nested(() => ({ kind: 'not', term: this.#not() }))
  }

  #term(): Expression {
    const scanner = this.#scanner
    if (!scanner.takeSymbol('(')) return this.#collection() ?? this.#match()
    const opened = scanner.at - 1
    return this.#nested(() => {
      const inner = this.#or()
      if (!scanner.takeSymbol(')')) throw scanner.failure(`the parenthesis at ${opened} is not closed`)
      return inner
    })
  }

  /** `any Checks as c { … }`; null if it is none, for `any` and `all` are names as well. */
  #collection(): Expression | null {
    const scanner = this.#scanner
    const before = scanner.at
    const kind = scanner.takeWord('any') ? 'any' : scanner.takeWord('all') ? 'all' : null
    if (kind === null) return null
    const path = this.#operand()?.path ?? null
    if (path === null || !scanner.takeWord('as')) {
      scanner.rewind(before)
      return null
    }
    const names = this.#names()
    if (!scanner.takeSymbol('{')) throw scanner.failure('expected "{"')
    return this.#nested(() => {
      const term = this.#or()
      if (!scanner.takeSymbol('}')) throw scanner.failure('expected "}"')
      return { kind, path, names, term }
    })
  }

  #names(): readonly [string] | readonly [string, string] {
    const isEnclosed = this.#scanner.takeSymbol('(')
    const first = this.#name()
    const second = this.#scanner.takeSymbol(',') ? this.#name() : null
    if (isEnclosed && !this.#scanner.takeSymbol(')')) throw this.#scanner.failure('expected ")"')
    return second === null ? [first] : [first, second]
  }

  #name(): string {
    const name = this.#scanner.takeSymbol('_') ? '_' : this.#scanner.word()
    if (name === null) throw this.#scanner.failure('expected a name')
    return name
  }

  #match(): Expression {
    const scanner = this.#scanner
    const { comparisons } = FILTER_LIMITS
    if (++this.#comparisons > comparisons) {
      throw new FilterError('FLT_TOO_LARGE', `it has more than ${comparisons} comparisons`)
    }
    const left = this.#operand()
    if (left === null) throw scanner.failure('expected a selector or a value')
    const at = scanner.next()
    const found = this.#operator()
    if (found === 'in' || found === 'not in') {
      const right = this.#operand()
      const path = right?.path ?? null
      if (path === null) throw scanner.failure('expected a selector', right?.at)
      return { kind: 'match', path, operator: 'in', isNegated: found === 'not in', value: left.value }
    }
    if (left.path === null) throw scanner.failure('expected "in" or "not in" after a value', at)
    if (found === null) throw scanner.failure(`expected an operator: ${OPERATORS}`, at)
    const { operator, isNegated, takesValue } = found
    const right = takesValue ? this.#operand() : null
    if (takesValue && right === null) {
      throw scanner.failure('expected a value: a name, a number, or a text in quotation marks')
    }
    return { kind: 'match', path: left.path, operator, isNegated, value: right?.value ?? '' }
  }

  #operator(): Operator | 'in' | 'not in' | null {
    const scanner = this.#scanner
    if (scanner.takeSymbol('==')) return { operator: 'equal', isNegated: false, takesValue: true }
    if (scanner.takeSymbol('!=')) return { operator: 'equal', isNegated: true, takesValue: true }
    if (scanner.takeWord('is')) {
      const isNegated = scanner.takeWord('not')
      if (scanner.takeWord('empty')) return { operator: 'empty', isNegated, takesValue: false }
      if (scanner.takeWord('nil')) return { operator: 'nil', isNegated, takesValue: false }
      throw scanner.failure('expected "empty", "nil" or "not"')
    }
    const isNegated = scanner.takeWord('not')
    if (scanner.takeWord('in')) return isNegated ? 'not in' : 'in'
    if (scanner.takeWord('contains')) return { operator: 'in', isNegated, takesValue: true }
    if (scanner.takeWord('matches')) return { operator: 'matches', isNegated, takesValue: true }
    return null
  }

  #operand(): Operand | null {
    const scanner = this.#scanner
    const at = scanner.next()
    const number = scanner.number()
    if (number !== null) return { at, value: number, path: null }
    const quoted = scanner.quoted()
    if (quoted !== null) return { at, value: quoted, path: POINTER.test(quoted) ? pointerPath(quoted) : null }
    const first = scanner.word()
    if (first === null) return null
    const path = [first]
    for (;;) {
      if (scanner.takeSymbol('.', { adjacent: true })) path.push(this.#name())
      else if (scanner.takeSymbol('[', { adjacent: true })) path.push(this.#key())
      else return { at, value: path.join('.'), path }
    }
  }

  #key(): string {
    const key = this.#scanner.quoted()
    if (key === null) throw this.#scanner.failure('expected a key in quotation marks')
    if (!this.#scanner.takeSymbol(']')) throw this.#scanner.failure('expected "]"')
    return key
  }

  #nested(parse: () => Expression): Expression {
    const { depth } = FILTER_LIMITS
    if (++this.#depth > depth) throw new FilterError('FLT_TOO_LARGE', `it is nested deeper than ${depth}`)
    const expression = parse()
    this.#depth--
    return expression
  }
}

/** The names of a JSON pointer (RFC 6901). */
function pointerPath(pointer: string): Path {
  return pointer
    .slice(1)
    .split('/')
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'))
}
