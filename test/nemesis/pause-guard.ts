import { spawn } from 'node:child_process'

/**
 * Watches over a paused process: should this one die before the pause ends, its end of the pipe closes and the guard wakes the
 * process, which sees its own pipe closed and ends. Answers the way to dismiss the guard.
 */
export function guardPause(pid: number): () => void {
  const guard = spawn('/bin/sh', ['-c', 'read -r dismissed || kill -CONT "$0"', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  guard.stdin.on('error', () => {})
  guard.on('error', () => {})
  return () => guard.stdin.end('dismissed\n')
}
