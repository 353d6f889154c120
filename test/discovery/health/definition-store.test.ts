import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { DefinitionStore } from '../../../discovery/health/definition-store.ts'
import { until } from '../fake-mesh.ts'
import { capturedLog } from '../mesh/cluster.ts'
import { tempDir } from '../temp-dir.ts'

t.test('definitions that could not be written are written when there is room again', async (t) => {
  const dataDir = join(tempDir(t), 'data')
  await writeFile(dataDir, 'in the way')
  const { lines, log } = capturedLog()
  const store = new DefinitionStore({ dataDir, retryMs: 10 }, { log })
  store.save([])
  await t.rejects(store.flush(), { code: 'HLT_FILE_FAILED' })
  t.match(lines.at(-1)?.msg, /^cannot write .*checks\.json, trying again$/)
  await rm(dataDir)
  await mkdir(dataDir, { recursive: true })
  await until('they are written', async () => (await readFile(store.path, 'utf8').catch(() => '')) !== '')
  t.same(await store.load(), [])
  await store.flush()
})
