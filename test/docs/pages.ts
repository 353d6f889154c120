import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The folder of the project. */
export const ROOT = join(import.meta.dirname, '../..')

/** Every page that is checked. */
export const PAGES = [
  'README.md',
  'docs/guide.md',
  'docs/configuration.md',
  'docs/api.md',
  'docs/health-checks.md',
  'docs/service-files.md',
  'docs/compatibility.md',
  'docs/operations.md',
  'docs/membership.md',
  'docs/patroni.md',
  'docs/simulation.md',
  'docs/failure-catalogue.md',
  'docs/fuzzing.md',
] as const

/** The text of a file of the project. */
export function page(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

/** The blocks of code of a page, with the language they name ("" for none). */
export function codeBlocks(text: string): readonly { readonly language: string; readonly code: string }[] {
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language = '', code = '']) => ({
    language,
    code,
  }))
}

/** The part of a page from its heading to the next one of the same or a higher level. @throws Error if there is none. */
export function section(text: string, heading: string): string {
  const level = /^#+/.exec(heading)?.[0].length ?? 0
  const start = text.indexOf(`${heading}\n`)
  if (start < 0) throw new Error(`there is no heading ${JSON.stringify(heading)}`)
  const rest = text.slice(start + heading.length)
  const end = rest.search(new RegExp(`^#{1,${level}} `, 'm'))
  return end < 0 ? rest : rest.slice(0, end)
}

/** The code (in backticks) of the cells of one column, row by row. Rows without any are left out. */
export function codeInColumn(text: string, column: number): readonly (readonly string[])[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) => line.split(/(?<!\\)\|/)[column + 1] ?? '')
    .map((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code))
    .filter((codes) => codes.length > 0)
}
