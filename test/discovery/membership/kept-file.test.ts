import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { KeptFile } from '../../../discovery/membership/kept-file.ts'
import { until } from '../fake-mesh.ts'
import { capturedLog } from '../mesh/cluster.ts'
import { tempDir } from '../temp-dir.ts'

/** A file in a folder that cannot be written until `free` is called: a file has its place. */
async function blocked(t: Test, throttleMs: number) {
  const folder = join(tempDir(t), 'folder')
  await writeFile(folder, 'in the way')
  const { lines, log } = capturedLog()
  const file = new KeptFile({ path: join(folder, 'state.json'), throttleMs, retryMs: 10 }, { log })
  const free = async () => {
    await rm(folder)
    await mkdir(folder, { recursive: true })
  }
  return { file, lines, free }
}

t.test('what a flush could not write is written when there is room again', async (t) => {
  const { file, lines, free } = await blocked(t, 60_000)
  file.save(() => 'one')
  await t.rejects(file.flush(), { code: 'EEXIST' })
  t.match(lines.at(-1)?.msg, /^cannot write .*state\.json, trying again$/)
  await free()
  await until('it is written', async () => (await readFile(file.path, 'utf8').catch(() => '')) === 'one')
})

t.test('what is saved meanwhile goes the same way', async (t) => {
  const { file, free } = await blocked(t, 5)
  file.save(() => 'one')
  await t.rejects(file.flush())
  file.save(() => 'two')
  await free()
  await until('the newer text is written', async () => {
    return (await readFile(file.path, 'utf8').catch(() => '')) === 'two'
  })
  await file.flush()
})
