import { RE2JS } from 're2js'
import { FilterError } from './errors.ts'
import { FILTER_LIMITS } from './expression.ts'

/** Compiled expressions that are kept. */
const COMPILED_MAX = 128
/** Answers that are kept of each. */
const ANSWERS_MAX = 512
/** Longer texts are matched each time. */
const KEPT_CHARS_MAX = 256

const compiled = new Map<string, (text: string) => boolean>()

/**
 * A test for texts in which the expression (RE2) matches anywhere. It takes time linear in the text, whatever the expression.
 * Expressions are compiled once and the last of them kept, for clients ask with the same ones again and again.
 * @throws FilterError `FLT_REGEX`
 */
export function regexTest(expression: string): (text: string) => boolean {
  const test = compiled.get(expression) ?? compile(expression)
  // The least recently used is the first.
  compiled.delete(expression)
  compiled.set(expression, test)
  for (const oldest of compiled.keys()) {
    if (compiled.size <= COMPILED_MAX) break
    compiled.delete(oldest)
  }
  return test
}

function compile(expression: string): (text: string) => boolean {
  const { regexChars, regexInstructions } = FILTER_LIMITS
  if (expression.length > regexChars) {
    throw invalid(`it has ${expression.length} characters, the limit is ${regexChars}`)
  }
  let regex: RE2JS
  try {
    regex = RE2JS.compile(expression)
  } catch (error) {
    throw invalid((error as Error).message)
  }
  if (regex.programSize() > regexInstructions) throw invalid('it is too complex')
  const answers = new Map<string, boolean>()
  return (text) => {
    const known = answers.get(text)
    if (known !== undefined) return known
    const matches = regex.test(text)
    if (text.length > KEPT_CHARS_MAX) return matches
    if (answers.size >= ANSWERS_MAX) answers.clear()
    answers.set(text, matches)
    return matches
  }
}

function invalid(reason: string): FilterError {
  return new FilterError('FLT_REGEX', `failed to compile regular expression: ${reason}`)
}
