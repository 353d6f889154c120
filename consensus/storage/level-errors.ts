import { ConsensusError } from '../errors.ts'

/** The error under those that abstract-level wraps around it: code and text are those of LevelDB. */
export function levelError(error: unknown): { readonly code: string; readonly message: string } {
  const inner = (error as { cause?: unknown }).cause ?? error
  const { code, message } = inner as { code?: unknown; message?: unknown }
  return { code: String(code ?? ''), message: String(message ?? error) }
}

/** LevelDB passes the system's words on and not its error number. */
const NO_ROOM = /No space left on device|Disk quota exceeded/
/** What the surroundings refuse says nothing about what is stored. */
const SURROUNDINGS =
  /Permission denied|Operation not permitted|Too many open files|Read-only file system|Input\/output error|Cannot allocate memory/

/** A call failed and the files are as they were before it. */
export function cannotWrite(directory: string, error: unknown): ConsensusError {
  const { message } = levelError(error)
  if (NO_ROOM.test(message)) return diskFull(directory, error)
  return new ConsensusError('CST_STORAGE_FAILED', `cannot write to ${directory}: ${message}`, {
    cause: error,
  })
}

function diskFull(directory: string, error: unknown): ConsensusError {
  return new ConsensusError(
    'CST_DISK_FULL',
    `the disk that holds ${directory} is full; nothing stored is lost: free some space (${levelError(error).message})`,
    { cause: error, retryable: true },
  )
}

/** Why a database could not be opened, and what to do; null if the files themselves are at fault. */
export function cannotOpen(directory: string, error: unknown): ConsensusError | null {
  const { code, message } = levelError(error)
  const failed = (text: string) => new ConsensusError('CST_STORAGE_FAILED', text, { cause: error })
  if (code === 'LEVEL_LOCKED') return failed(`${directory} is in use by another process`)
  if (NO_ROOM.test(message)) return diskFull(directory, error)
  if (!SURROUNDINGS.test(message)) return null
  return failed(`cannot open ${directory}, which says nothing against what is stored in it: ${message}`)
}
