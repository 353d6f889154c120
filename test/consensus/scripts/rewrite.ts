/**
 * Replaces the expected output of scripts by what they print: `node rewrite.ts [part of the path …]`. Read the
 * difference against the protocol before it is kept: a wrong expectation is worse than none.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readScripts, runScript } from './runner.ts'

const wanted = process.argv.slice(2)
for (const { path, text } of await readScripts(import.meta.dirname)) {
  if (wanted.length > 0 && !wanted.some((part) => path.includes(part))) continue
  try {
    const { diff, rewritten, knownFault } = runScript(path, text)
    if (diff === '' || knownFault !== '') continue
    await writeFile(join(import.meta.dirname, path), rewritten)
    process.stdout.write(`${diff}\n`)
  } catch (error) {
    process.stdout.write(`${(error as Error).message}\n`)
    process.exitCode = 1
  }
}
