import { glob, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Arguments, ScriptError } from './arguments.ts'
import { Cluster } from './cluster.ts'
import { COMMANDS } from './commands.ts'
import { unifiedDiff } from './diff.ts'
import { formatScript, parseScript, type ScriptCommand } from './script-file.ts'
import { Transcript } from './transcript.ts'

/** A comment of a script that the core is known not to print yet. Its expected output is the right one: not rewritten. */
const KNOWN_FAULT = /^# Known fault: (.*)$/m

/** What running a script gave. */
export interface ScriptResult {
  /** What is known to be wrong with the core, or ''. */
  readonly knownFault: string
  /** Unified diff of what was expected and what was printed; '' if they are the same. */
  readonly diff: string
  /** The script with what was printed in place of what was expected. */
  readonly rewritten: string
}

function runCommand(file: string, cluster: Cluster, { line, text }: ScriptCommand): string[] {
  const place = `${file}:${line}`
  const [name = '', rest = ''] = [text.split(/\s/, 1)[0], text.replace(/^\S+/, '')]
  const command = COMMANDS.get(name)
  if (command === undefined) throw new ScriptError(place, `unknown command ${name}`)
  const args = new Arguments(place, rest)
  const out = new Transcript()
  cluster.printTo(out)
  try {
    command(cluster, args, out)
    cluster.checkSafety()
  } catch (error) {
    if (error instanceof ScriptError) throw error
    const printed = out.lines.map((printedLine) => `\n  ${printedLine}`).join('')
    throw new ScriptError(place, `${(error as Error).message}; printed so far:${printed}`)
  }
  args.end()
  return out.lines.length > 0 ? out.lines : ['ok']
}

/**
 * Runs the script `text`, read from `file`, on a fresh cluster. The safety properties of Raft are checked after every
 * input of a core and once more at the end. @throws ScriptError for a mistake in the script or a violated property.
 */
export function runScript(file: string, text: string): ScriptResult {
  const script = parseScript(file, text)
  const cluster = new Cluster(new Transcript())
  const diffs: string[] = []
  const outputs = script.blocks.map(({ commands, expected, expectedLine }) => {
    const single = commands.length === 1
    const printed = commands.flatMap((command) => {
      const lines = runCommand(file, cluster, command)
      return single ? lines : [`> ${command.text}`, ...lines]
    })
    const diff = unifiedDiff(file, expectedLine, expected, printed)
    if (diff !== '') diffs.push(diff)
    return printed
  })
  return {
    diff: diffs.join('\n'),
    rewritten: formatScript(script, outputs),
    knownFault: KNOWN_FAULT.exec(text)?.[1] ?? '',
  }
}

/** Every script below `directory`: its path relative to it, sorted, and its text. */
export async function readScripts(directory: string): Promise<{ path: string; text: string }[]> {
  const paths = await Array.fromAsync(glob('**/*.txt', { cwd: directory }))
  return Promise.all(
    paths.sort().map(async (path) => ({ path, text: await readFile(join(directory, path), 'utf8') })),
  )
}
