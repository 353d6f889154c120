import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parseFileService } from '../../../agent/service-files/definition.ts'
import { type CheckedFolder, checkFolder } from '../../../providers/files/content.ts'
import { CONFIG } from '../../agent/http/harness.ts'
import { tempDir } from '../../discovery/temp-dir.ts'

/** What is said of a folder with these files; its own path is left out. */
async function check(folder: string, files: Readonly<Record<string, string>>): Promise<CheckedFolder> {
  mkdirSync(folder, { recursive: true })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  const checked = await checkFolder(folder, (definition, source) =>
    parseFileService(definition, source, CONFIG.checks),
  )
  return { ...checked, problems: checked.problems.map((line) => line.replaceAll(folder, 'DIR')) }
}

t.test('a folder without mistakes', async (t) => {
  const files = { 'a.yaml': 'name: a\n', 'b.json': '{"services":[{"name":"b"}]}', 'notes.txt': '[' }
  t.same(await check(tempDir(t), files), { files: 2, problems: [] })
})

t.test('every mistake is one line with its file', async (t) => {
  const files = {
    'a.yaml': 'name: a\n',
    'b.yaml': 'name: a\n',
    'c.yaml': 'name: c\nprot: 1\n',
    'd.yaml': 'name: [\n',
    'e.yaml': '',
  }
  t.match(await check(tempDir(t), files), {
    files: 5,
    problems: [
      'DIR/b.yaml: the id "a" belongs to the file a.yaml',
      'DIR/c.yaml: service "c": unknown field "prot"; did you mean "port"?',
      /^DIR\/d\.yaml: .* at line 2, column 1$/,
      'DIR/e.yaml: it holds no service',
    ],
  })
})

t.test('a folder that is not there', async (t) => {
  const folder = join(tempDir(t), 'none')
  const checked = await checkFolder(folder, () => t.fail('nothing to parse') as never)
  t.same(checked, {
    files: 0,
    problems: [`${folder}: the folder of service files cannot be read: ENOENT`],
  })
})
