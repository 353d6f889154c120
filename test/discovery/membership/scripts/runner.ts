import { glob, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Arguments, ScriptError } from '../../../consensus/scripts/arguments.ts'
import { unifiedDiff } from '../../../consensus/scripts/diff.ts'
import { formatScript, parseScript, type ScriptCommand } from '../../../consensus/scripts/script-file.ts'
import { COMMANDS } from './commands.ts'
import { ScriptWorld } from './world.ts'

/** What running a script gave. */
export interface ScriptResult {
  /** Unified diff of what was expected and what was printed; '' if they are the same. */
  readonly diff: string
  /** The script with what was printed in place of what was expected. */
  readonly rewritten: string
}

/** Runs the script `text`, read from `file`, on a fresh world. @throws ScriptError for a mistake in the script */
export function runScript(file: string, text: string): ScriptResult {
  const script = parseScript(file, text)
  let lines: string[] = []
  const print = (line: string): void => void lines.push(line)
  const world = new ScriptWorld(print)
  const run = ({ line, text: command }: ScriptCommand): string[] => {
    lines = []
    const place = `${file}:${line}`
    const name = command.split(/\s/, 1)[0] ?? ''
    const act = COMMANDS.get(name)
    if (act === undefined) throw new ScriptError(place, `unknown command ${name}`)
    const args = new Arguments(place, command.slice(name.length))
    act(world, args, print)
    args.end()
    return lines.length > 0 ? lines : ['ok']
  }
  const diffs: string[] = []
  const outputs = script.blocks.map(({ commands, expected, expectedLine }) => {
    const single = commands.length === 1
    const printed = commands.flatMap((command) => {
      const told = run(command)
      return single ? told : [`> ${command.text}`, ...told]
    })
    const diff = unifiedDiff(file, expectedLine, expected, printed)
    if (diff !== '') diffs.push(diff)
    return printed
  })
  return { diff: diffs.join('\n'), rewritten: formatScript(script, outputs) }
}

/** Every script in `directory`: its name, sorted, and its text. */
export async function readScripts(directory: string): Promise<{ name: string; text: string }[]> {
  const names = await Array.fromAsync(glob('*.txt', { cwd: directory }))
  return Promise.all(
    names.sort().map(async (name) => ({ name, text: await readFile(join(directory, name), 'utf8') })),
  )
}
