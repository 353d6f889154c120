import { spawn } from 'node:child_process'

/** Reads the group to guard, then until a word comes, which means all is well, or the end of the pipe: the holder died. */
const SCRIPT =
  'read -r group || exit 0; read -r word && exit 0; kill -s TERM -- "-$group"; sleep "$1"; kill -s KILL -- "-$group"'

/**
 * Ends a process group when this process is killed and can no longer do it itself: a small shell waits at the other end of a
 * pipe. On a host without `sh` there is none.
 */
export class GroupGuard {
  readonly #tell: (line: string) => void
  readonly #tellDone: () => void

  /**
   * To be made before the group, or a holder that is killed between the two leaves it unguarded.
   * @param killAfterMs between SIGTERM and SIGKILL.
   */
  constructor(killAfterMs: number) {
    const args = ['-c', SCRIPT, 'sh', String(killAfterMs / 1000)]
    // Not in our process group either: whoever ends that one would end the guard with it.
    const shell = spawn('sh', args, { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
    shell.once('error', () => {})
    shell.stdin.on('error', () => {})
    this.#tell = (line) => void shell.stdin.write(line)
    this.#tellDone = () => void shell.stdin.end('done\n')
  }

  /** From now on this group is guarded. */
  watch(group: number): void {
    this.#tell(`${group}\n`)
  }

  /** The group may go on, or is gone: the shell ends. */
  close(): void {
    this.#tellDone()
  }
}
