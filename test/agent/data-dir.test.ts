import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { prepareDataDir } from '../../agent/data-dir.ts'

t.test('missing directories are made, readable by this user only; existing ones are kept', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'data-dir-'))
  t.teardown(() => rm(base, { recursive: true }))
  const path = join(base, 'a', 'b')
  await prepareDataDir(path)
  t.equal((await stat(path)).mode & 0o777, 0o700)
  t.ok((await stat(join(path, 'raft'))).isDirectory())
  await prepareDataDir(path)
})

t.test('what cannot be used is refused in a sentence', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'data-dir-'))
  t.teardown(() => rm(base, { recursive: true }))
  const file = join(base, 'file')
  await writeFile(file, '')
  await t.rejects(prepareDataDir(file), {
    code: 'CST_DATA_DIR',
    message: /file is not a directory; choose another/,
  })
  await t.rejects(prepareDataDir(join(file, 'below')), { code: 'CST_DATA_DIR' })
  if (process.platform === 'linux') await t.rejects(prepareDataDir('/proc/x'), { code: 'CST_DATA_DIR' })
})
