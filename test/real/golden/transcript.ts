/** What an answer must look like. */
export interface Expectation {
  readonly status: number
  /** Of the Content-Type header; null: there is none. */
  readonly type: string | null
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** The whole body. */
  readonly body: string
  /** In place of the whole body: JSON whose members must be in it. */
  readonly includes: string | null
  /** How long it took: this long and up to a sixteenth more, or at once; null: does not matter. */
  readonly took: { readonly ms: number } | 'at once' | null
}

/** A request, without the connection it goes through. */
export interface Recorded {
  readonly method: string
  readonly target: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string | null
}

/** One step of a section: a request, an answer, or a relation between values of answers. */
export type Step =
  | { readonly kind: 'request'; readonly line: number; readonly name: string; readonly request: Recorded }
  | { readonly kind: 'answer'; readonly line: number; readonly name: string; readonly answer: Expectation }
  | { readonly kind: 'relation'; readonly line: number; readonly text: string }

/** A part of a transcript that stands for itself. */
export interface Section {
  readonly title: string
  readonly steps: readonly Step[]
}

const TYPES: Readonly<Record<string, string>> = {
  json: 'application/json',
  text: 'text/plain; charset=utf-8',
}

/** What the first line of a block looks like. */
const HEADS = {
  '>': /^([A-Z]+) (\/\S*)$/,
  '<': /^(\d{3})(?: (\S.*))?$/,
} as const

/** The name of a request whose answer follows at once. */
const UNNAMED = ''

interface Draft {
  readonly line: number
  readonly name: string
  readonly head: string
  readonly fields: string[]
  readonly body: string[]
  includes: string | null
}

/**
 * Reads a transcript (README.md beside this file says how one is written).
 * @throws Error with the number of the line that cannot be read.
 */
export function parseTranscript(text: string): readonly Section[] {
  const sections: { title: string; steps: Step[] }[] = []
  let draft: { side: '>' | '<'; block: Draft } | null = null
  const steps = (line: number): Step[] => {
    const last = sections.at(-1)
    if (last === undefined) throw new Error(`line ${line}: there is no section yet`)
    return last.steps
  }
  const close = (): void => {
    if (draft === null) return
    const { side, block } = draft
    steps(block.line).push(side === '>' ? requestOf(block) : answerOf(block))
    draft = null
  }
  for (const [i, raw] of text.split('\n').entries()) {
    const line = i + 1
    const [, mark = '', rest = ''] = /^(## |#|[<>][|&~]?|\?|)\s?(.*)$/.exec(raw) ?? []
    if (mark === '#' || raw.trim() === '') {
      close()
    } else if (mark === '## ') {
      close()
      sections.push({ title: rest, steps: [] })
    } else if (mark === '?') {
      close()
      steps(line).push({ kind: 'relation', line, text: rest })
    } else if (mark === '') {
      throw new Error(`line ${line}: ${raw}`)
    } else {
      const side = mark.startsWith('>') ? '>' : '<'
      if (mark.endsWith('&') || (mark === side && HEADS[side].test(rest))) {
        close()
        draft = { side, block: blockOf(line, mark, rest) }
      } else if (draft?.side !== side) {
        throw new Error(`line ${line}: ${raw} begins no block`)
      } else if (mark.endsWith('|')) {
        draft.block.body.push(rest)
      } else if (mark.endsWith('~')) {
        draft.block.includes = rest
      } else {
        draft.block.fields.push(rest)
      }
    }
  }
  close()
  return sections
}

function blockOf(line: number, mark: string, rest: string): Draft {
  const [name = '', ...words] = rest.split(' ')
  return mark.endsWith('&')
    ? { line, name, head: words.join(' '), fields: [], body: [], includes: null }
    : { line, name: UNNAMED, head: rest, fields: [], body: [], includes: null }
}

function requestOf({ line, name, head, fields, body }: Draft): Step {
  const [, method = '', target = ''] = HEADS['>'].exec(head) ?? []
  if (method === '') throw new Error(`line ${line}: ${head} is no request`)
  const headers = fields.map((field) => headerOf(line, field))
  return {
    kind: 'request',
    line,
    name,
    request: { method, target, headers, body: body.length === 0 ? null : body.join('\n') },
  }
}

function answerOf({ line, name, head, fields, body, includes }: Draft): Step {
  const [, status = '', type = ''] = HEADS['<'].exec(head) ?? []
  if (status === '') throw new Error(`line ${line}: ${head} is no answer`)
  const timing = fields.find((field) => /^(at once|took )/.test(field))
  return {
    kind: 'answer',
    line,
    name,
    answer: {
      status: Number(status),
      type: type === '' ? null : (TYPES[type] ?? type),
      headers: fields.filter((field) => field !== timing).map((field) => headerOf(line, field)),
      body: body.join('\n'),
      includes,
      took: timing === undefined ? null : tookOf(line, timing),
    },
  }
}

function headerOf(line: number, field: string): readonly [string, string] {
  const [, name, value] = /^([A-Za-z-]+): ?(.*)$/.exec(field) ?? []
  if (name === undefined || value === undefined) throw new Error(`line ${line}: ${field} is no header`)
  return [name.toLowerCase(), value]
}

function tookOf(line: number, field: string): { readonly ms: number } | 'at once' {
  if (field === 'at once') return 'at once'
  const [, ms] = /^took (\d+)ms$/.exec(field) ?? []
  if (ms === undefined) throw new Error(`line ${line}: ${field} is no duration`)
  return { ms: Number(ms) }
}
