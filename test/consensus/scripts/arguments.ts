/** A mistake in a script: an unknown command, a bad argument. Names the file and the line. */
export class ScriptError extends Error {
  constructor(place: string, sentence: string) {
    super(`${place}: ${sentence}`)
    this.name = 'ScriptError'
  }
}

/**
 * The words behind a command: `name=value` options, and the rest in order. A value may be a list, `(1,2,3)`; quotes keep
 * spaces together. Whatever a command does not take is an error, so that a misspelt option never passes unnoticed.
 */
export class Arguments {
  readonly #place: string
  readonly #words: string[] = []
  readonly #options = new Map<string, string>()

  constructor(place: string, text: string) {
    this.#place = place
    for (const word of text.match(/(?:"[^"]*"|\([^)]*\)|[^\s"(])+/g) ?? []) {
      const option = /^([a-z-]+)=(.*)$/.exec(word)
      const [, name, value] = option ?? []
      if (name === undefined || value === undefined) this.#words.push(word.replaceAll('"', ''))
      else if (this.#options.has(name)) this.fail(`option ${name} is given twice`)
      else this.#options.set(name, value.replaceAll('"', ''))
    }
  }

  /** @throws ScriptError always */
  fail(sentence: string): never {
    throw new ScriptError(this.#place, sentence)
  }

  /** True if another word is left. */
  get more(): boolean {
    return this.#words.length > 0
  }

  /** The next word. `what` names it when it is missing. */
  word(what: string): string {
    return this.#words.shift() ?? this.fail(`${what} is missing`)
  }

  number(what: string): number {
    return this.#toNumber(what, this.word(what))
  }

  /** Takes `word` if it is among those left. */
  flag(word: string): boolean {
    const at = this.#words.indexOf(word)
    if (at >= 0) this.#words.splice(at, 1)
    return at >= 0
  }

  option(name: string): string | undefined {
    const value = this.#options.get(name)
    this.#options.delete(name)
    return value
  }

  numberOption(name: string): number | undefined {
    const value = this.option(name)
    return value === undefined ? undefined : this.#toNumber(name, value)
  }

  /** A list option: `(a,b)` or a single `a`. */
  listOption(name: string): string[] | undefined {
    const value = this.option(name)
    return value === undefined ? undefined : splitList(value)
  }

  /** The next word, as a list. */
  list(what: string): string[] {
    return splitList(this.word(what))
  }

  /** @throws ScriptError if something was not taken */
  end(): void {
    const [option] = this.#options.keys()
    if (option !== undefined) this.fail(`unknown option ${option}=`)
    const [word] = this.#words
    if (word !== undefined) this.fail(`unknown argument ${word}`)
  }

  #toNumber(what: string, text: string): number {
    if (!/^\d+$/.test(text)) this.fail(`${what} must be a number, not ${text}`)
    return Number(text)
  }
}

function splitList(value: string): string[] {
  return value
    .replace(/^\((.*)\)$/, '$1')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}
