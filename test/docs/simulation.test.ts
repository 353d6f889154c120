import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { mutants, quickMutants } from '../sim/mutants/all.ts'
import type { Mutant } from '../sim/mutants/mutant.ts'
import { page, ROOT } from './pages.ts'

const PAGE = 'docs/simulation.md'
const TABLE = /<!-- mutants -->\n.*<!-- end -->\n/s

function row(mutant: Mutant): string {
  const { name, catalogue, sentence, foundBy } = mutant
  const by = 'test' in foundBy ? `\`${foundBy.test}\`` : `the simulator, ${foundBy.seeds} seeds`
  const where = quickMutants.includes(mutant) ? '`npm test`' : '`--mutants`'
  return `| \`${name}\` | ${catalogue} | ${sentence} | ${by} | ${where} |`
}

function table(): string {
  const head = ['| bug | known failure | what is wrong | found by | run by |', '|---|---|---|---|---|']
  return `${['<!-- mutants -->', ...head, ...mutants.map(row), '<!-- end -->'].join('\n')}\n`
}

t.test('the table of injected bugs is that of the mutants', async (t) => {
  const text = page(PAGE)
  const written = text.replace(TABLE, table)
  if (process.env.REWRITE === '1') writeFileSync(join(ROOT, PAGE), written)
  else t.equal(TABLE.exec(text)?.[0], table())
  t.match(text, TABLE)
})

t.test('files that are named exist', async (t) => {
  const files = [...page(PAGE).matchAll(/`((?:test|consensus)\/[^`\s]+)`/g)].map(([, file = '']) => file)
  t.ok(files.length > 10)
  for (const file of files) t.ok(existsSync(join(ROOT, file)), file)
})
