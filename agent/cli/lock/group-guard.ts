import { spawn } from 'node:child_process'

/** Reads until a word comes, which means all is well, or the end of the pipe, which means that the holder died. */
const SCRIPT = 'read -r word && exit 0; kill -s TERM -- "-$1"; sleep "$2"; kill -s KILL -- "-$1"'

/**
 * Ends a process group when this process is killed and can no longer do it itself: a small shell waits at the other end of a
 * pipe. On a host without `sh` there is none.
 */
export class GroupGuard {
  readonly #tellDone: () => void

  /** @param killAfterMs between SIGTERM and SIGKILL. */
  constructor(group: number, killAfterMs: number) {
    const args = ['-c', SCRIPT, 'sh', String(group), String(killAfterMs / 1000)]
    // Not in our process group either: whoever ends that one would end the guard with it.
    const shell = spawn('sh', args, { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
    shell.once('error', () => {})
    shell.stdin.on('error', () => {})
    this.#tellDone = () => void shell.stdin.end('done\n')
  }

  /** The group may go on, or is gone: the shell ends. */
  close(): void {
    this.#tellDone()
  }
}
