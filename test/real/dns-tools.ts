import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { AgentProcess } from './agent-process.ts'

const run = promisify(execFile)
const PATHS = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/bin']

/** Why a test cannot run, naming the Debian package to install; false if all programs are there. */
export function missingPrograms(programs: Readonly<Record<string, string>>): string | false {
  for (const [program, debian] of Object.entries(programs)) {
    if (programPath(program) === null) return `needs ${program} (Debian package ${debian})`
  }
  return false
}

/** Where a program is; null if it is not installed. */
export function programPath(program: string): string | null {
  for (const folder of PATHS) {
    try {
      const path = join(folder, program)
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not in this folder.
    }
  }
  return null
}

/** Runs dig against a port of 127.0.0.1 and answers what it printed. */
export async function dig(port: number, ...args: string[]): Promise<string> {
  const { stdout } = await run('dig', ['@127.0.0.1', '-p', String(port), '+time=3', '+tries=2', ...args])
  return stdout
}

/** The lines of `dig +short`, sorted. */
export async function digShort(port: number, ...args: string[]): Promise<readonly string[]> {
  const out = await dig(port, '+short', ...args)
  return out
    .split('\n')
    .filter((line) => line !== '')
    .sort()
}

/** Registers a service; without a check it passes. */
export async function register(
  agent: AgentProcess,
  service: Readonly<Record<string, unknown>>,
): Promise<void> {
  const answer = await agent.ask('/v1/agent/service/register', {
    method: 'PUT',
    body: JSON.stringify(service),
  })
  if (answer.status !== 200) throw new Error(`the registration was answered ${answer.status}: ${answer.text}`)
}
