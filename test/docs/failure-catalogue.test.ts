import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { mutants } from '../sim/mutants/all.ts'
import { page, ROOT } from './pages.ts'

const SCRIPTS = 'test/consensus/scripts'

interface Row {
  readonly number: string
  readonly text: string
  readonly protection: string
  readonly scenarios: string
  readonly injected: readonly string[]
  readonly run: string
}

function codes(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code)
}

const rows = page('docs/failure-catalogue.md')
  .split('\n')
  .filter((line) => /^\| B\d+ /.test(line))
  .map((line): Row => {
    const [, number = '', text = '', protection = '', scenarios = '', injected = '', run = ''] = line
      .split('|')
      .map((cell) => cell.trim())
    return { number, text, protection, scenarios, injected: codes(injected), run }
  })

t.test('every known failure has a row', async (t) => {
  t.same(
    rows.map(({ number }) => number),
    Array.from({ length: 28 }, (_, i) => `B${i + 1}`),
  )
  for (const { number, text } of rows) t.ok(text.length > 20, number)
})

t.test('files that protect exist', async (t) => {
  for (const { number, protection } of rows) {
    const files = codes(protection).filter((code) => code.endsWith('.ts'))
    t.ok(files.length > 0, `${number} names a file`)
    for (const file of files) t.ok(existsSync(join(ROOT, file)), `${number}: ${file}`)
  }
})

t.test('scripts and tests that are named exist', async (t) => {
  for (const { number, scenarios } of rows) {
    const named = [...scenarios.matchAll(/`([^`]+)`(?: "([^"]+)")?/g)]
    t.ok(named.length > 0, `${number} names a scenario`)
    for (const [, file = '', title] of named) {
      if (file.endsWith('.txt')) t.ok(existsSync(join(ROOT, SCRIPTS, file)), `${number}: ${file}`)
      else {
        t.ok(title !== undefined && existsSync(join(ROOT, file)), `${number}: ${file} ${title}`)
        t.ok(page(file).includes(title ?? '?'), `${number}: ${file} has "${title}"`)
      }
    }
  }
})

t.test('the injected bugs of a failure are all named, and so is the way to run them', async (t) => {
  for (const { number, injected, run } of rows) {
    const known = mutants.filter(({ catalogue }) => catalogue === number).map(({ name }) => name)
    t.ok(injected.length > 0, number)
    t.same(injected.toSorted(), known.toSorted(), number)
    t.same(codes(run), [`npm run sim -- --mutants ${injected.join(' ')}`], number)
  }
})

t.test('every bug found has a scenario that exists', async (t) => {
  const [, section = ''] = page('docs/failure-catalogue.md').split('## Bugs found in this program')
  const lines = section.split('\n').filter((line) => /^\| [A-Z]/.test(line))
  t.ok(lines.length > 10, `${lines.length} bugs`)
  for (const line of lines) {
    const [, file = '', title = ''] = /`(test\/[^`]+)`(?: "([^"]+)")?/.exec(line) ?? []
    t.ok(existsSync(join(ROOT, file)) && file !== '', line)
    t.ok(page(file).includes(title), `${file} has "${title}"`)
  }
})
