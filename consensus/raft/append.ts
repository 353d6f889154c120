import type { RaftLog } from './log.ts'
import type { Message } from './types.ts'

/**
 * Takes over what a leader appends, if the logs meet. Answers what the response says; it must not be sent before the entries
 * are durable.
 */
export function answerAppend(log: RaftLog, message: Message): Partial<Message> {
  if (message.index < log.committedIndex) return { index: log.committedIndex }
  const matched = log.tryAppend(message.index, message.logTerm, message.entries)
  if (matched !== undefined) {
    log.commitTo(Math.min(message.commit, matched))
    // Exactly what was checked against the leader's log, never lastIndex (catalogue B9).
    return { index: matched }
  }
  const hint = log.findConflict(Math.min(message.index, log.lastIndex), message.logTerm)
  return { reject: true, index: message.index, rejectHint: hint.index, logTerm: hint.term ?? 0 }
}
