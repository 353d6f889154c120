/**
 * Scripts for the membership core: commands, and what they must print. `REWRITE=1` replaces the expected output by what is
 * printed; read the difference against the protocol before it is kept.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { readScripts, runScript } from './runner.ts'

const scripts = await readScripts(import.meta.dirname)

t.test('there are scripts', async (t) => {
  t.ok(scripts.length > 40, `${scripts.length} scripts`)
})

for (const { name, text } of scripts) {
  t.test(name, async (t) => {
    t.match(text, /^# [A-Z]/, 'a script begins with what it shows')
    const { diff, rewritten } = runScript(name, text)
    if (process.env.REWRITE === '1') await writeFile(join(import.meta.dirname, name), rewritten)
    else if (diff === '') t.pass('prints what is expected')
    else t.fail(`prints something else\n${diff}`)
  })
}
