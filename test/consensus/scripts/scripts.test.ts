/**
 * Scripts for the protocol core: commands, and what they must print. `REWRITE=1` replaces the expected output by what is
 * printed; read the difference against the protocol before it is kept.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { readScripts, runScript } from './runner.ts'

const scripts = await readScripts(import.meta.dirname)

t.test('there are scripts', async (t) => {
  t.ok(scripts.length > 60, `${scripts.length} scripts`)
})

for (const { path, text } of scripts) {
  t.test(path, async (t) => {
    t.match(text, /^# [A-Z]/, 'a script begins with what it shows')
    const { diff, rewritten, knownFault } = runScript(path, text)
    if (knownFault !== '') t.not(diff, '', `mended, so the mark can go: ${knownFault}`)
    else if (process.env.REWRITE === '1') await writeFile(join(import.meta.dirname, path), rewritten)
    else if (diff === '') t.pass('prints what is expected')
    else t.fail(`prints something else\n${diff}`)
  })
}
