import { FilterError } from './errors.ts'

const SPACE = /\s*/y
const WORD = /[A-Za-z][A-Za-z0-9_/]*/y
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?=\s|\)|\}|$)/y
const SYMBOL = /==|!=|[(){},.[\]_]/y
const ESCAPE = /\\(?:([abfnrtv\\"'])|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3}))/y
const SINGLE: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}
const CODE_POINT_MAX = 0x10ffff

/** Reads a filter expression from left to right, one piece of text at a time. */
export class Scanner {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  /** Where it is, in characters from the beginning. */
  get at(): number {
    return this.#at
  }

  /** Goes back to a place it was at. */
  rewind(at: number): void {
    this.#at = at
  }

  /** Goes to where something is next, behind any space, and answers that place. */
  next(): number {
    this.#take(SPACE)
    return this.#at
  }

  get ended(): boolean {
    return this.next() === this.#text.length
  }

  /** The name that is next; null if there is none. */
  word(): string | null {
    this.#take(SPACE)
    return this.#take(WORD)
  }

  /** Takes this word if it is next, and not merely the beginning of a longer one. */
  takeWord(word: string): boolean {
    const before = this.#at
    if (this.word() === word) return true
    this.#at = before
    return false
  }

  /** Takes this symbol if it is next. `adjacent`: only if no space is before it. */
  takeSymbol(symbol: string, options: { readonly adjacent?: boolean } = {}): boolean {
    const before = this.#at
    if (options.adjacent !== true) this.#take(SPACE)
    if (this.#take(SYMBOL) === symbol) return true
    this.#at = before
    return false
  }

  /** The number that is next, as it is written; null if there is none. */
  number(): string | null {
    this.#take(SPACE)
    return this.#take(NUMBER)
  }

  /** The text in quotation marks or backticks that is next; null if there is none. @throws FilterError `FLT_SYNTAX` */
  quoted(): string | null {
    this.#take(SPACE)
    const start = this.#at
    const quote = this.#text[start]
    if (quote === '`') {
      const end = this.#text.indexOf('`', start + 1)
      if (end < 0) throw this.failure('unterminated string', start)
      this.#at = end + 1
      return this.#text.slice(start + 1, end)
    }
    if (quote !== '"') return null
    let value = ''
    for (let i = start + 1; i < this.#text.length; ) {
      const char = this.#text[i] as string
      if (char === '"') {
        this.#at = i + 1
        return value
      }
      if (char === '\\') {
        ESCAPE.lastIndex = i
        const found = ESCAPE.exec(this.#text)
        const decoded = found === null ? null : decodeEscape(found)
        if (decoded === null)
          throw this.failure('invalid escape; use backticks for a text with backslashes', i)
        value += decoded
        i = ESCAPE.lastIndex
      } else {
        value += char
        i++
      }
    }
    throw this.failure('unterminated string', start)
  }

  /** An error at a place: line, column and, in parentheses, characters from the beginning. */
  failure(reason: string, at = this.next()): FilterError {
    const lines = this.#text.slice(0, at).split('\n')
    return new FilterError(
      'FLT_SYNTAX',
      `${lines.length}:${(lines.at(-1) ?? '').length + 1} (${at}): ${reason}`,
    )
  }

  #take(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)
    if (found === null) return null
    this.#at = pattern.lastIndex
    return found[0]
  }
}

function decodeEscape(found: RegExpExecArray): string | null {
  const [, single, ...codes] = found
  if (single !== undefined) return SINGLE[single] ?? single
  const [hex2, hex4, hex8, octal] = codes
  const hex = hex2 ?? hex4 ?? hex8
  const code = hex === undefined ? Number.parseInt(octal ?? '', 8) : Number.parseInt(hex, 16)
  return code > CODE_POINT_MAX ? null : String.fromCodePoint(code)
}
