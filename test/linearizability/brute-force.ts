import { isRead, type Operation, type Output } from './history.ts'

/** One version in a sequence: what it must be, must not be, and whether it may equal the one before. */
interface Version {
  exact: number | null
  readonly not: number[]
  readonly mayEqualPrevious: boolean
}

interface Entry {
  value: string
  session: string | null
  lockIndex: number
  version: Version
}

/**
 * Whether a history of one key is linearizable, by trying every order of every choice of the operations of unknown
 * outcome: slow, and written without the model of the checker it judges. For about eight operations.
 */
export function bruteForce(history: readonly Operation[]): boolean {
  const required = history.filter(({ outcome }) => outcome === 'ok')
  const optional = history.filter(({ outcome, call }) => outcome === 'unknown' && !isRead(call))
  for (let choice = 0; choice < 1 << optional.length; choice++) {
    const chosen = optional.filter((_, i) => (choice >> i) & 1)
    if (someOrder([...required, ...chosen], [])) return true
  }
  return false
}

function someOrder(left: readonly Operation[], order: readonly Operation[]): boolean {
  if (left.length === 0) return isPossible(order)
  return left.some((operation) => {
    const others = left.filter((other) => other !== operation)
    const isLate = others.some((other) => other.outcome === 'ok' && other.returnedAt < operation.calledAt)
    return !isLate && someOrder(others, [...order, operation])
  })
}

/** Whether a register could have answered exactly this, one after the other. */
function isPossible(order: readonly Operation[]): boolean {
  const versions: Version[] = []
  const newVersion = (mayEqualPrevious: boolean): Version => {
    const version: Version = { exact: null, not: [], mayEqualPrevious }
    versions.push(version)
    return version
  }
  const equals = (version: Version, number: number): boolean => {
    if (version.exact !== null && version.exact !== number) return false
    version.exact = number
    return true
  }
  let entry: Entry | null = null
  const set = (value: string, session: string | null, lockIndex: number): void => {
    const isSame = entry?.value === value && entry.session === session && entry.lockIndex === lockIndex
    if (!isSame) entry = { value, session, lockIndex, version: newVersion(false) }
  }
  const remove = (): void => {
    if (entry !== null) newVersion(false)
    entry = null
  }
  for (const { call, output } of order) {
    const now = entry as Entry | null
    const answer: Output = output ?? { kind: 'done', ok: true }
    if (call.f === 'get') {
      if (answer.kind === 'absent') {
        if (now !== null) return false
        if (answer.index !== undefined && !equals(newVersion(true), answer.index)) return false
      } else if (answer.kind === 'entry') {
        if (now === null || now.value !== answer.value || !equals(now.version, answer.version)) return false
        if (answer.session !== undefined && answer.session !== now.session) return false
        if (answer.lockIndex !== undefined && answer.lockIndex !== now.lockIndex) return false
      } else return false
      continue
    }
    if (answer.kind !== 'done') return false
    const { ok } = answer
    switch (call.f) {
      case 'put':
        if (!ok) return false
        set(call.value, now?.session ?? null, now?.lockIndex ?? 0)
        break
      case 'delete':
        if (!ok) return false
        remove()
        break
      case 'cas':
      case 'delete-cas': {
        if (call.f === 'cas' && (call.version === 0 || now === null)) {
          if ((call.version === 0 && now === null) !== ok) return false
          if (ok) set(call.value, null, 0)
          break
        }
        if (now === null) {
          if (!ok) return false
          break
        }
        if (!ok) {
          now.version.not.push(call.version)
          break
        }
        if (!equals(now.version, call.version)) return false
        if (call.f === 'cas') set(call.value, now.session, now.lockIndex)
        else remove()
        break
      }
      case 'acquire': {
        const isMine = now?.session === call.session
        const isFree = (now?.session ?? null) === null
        if (!ok) {
          if (isMine || (isFree && call.mayBeDelayed !== true)) return false
          break
        }
        if (!isMine && !isFree) return false
        set(call.value, call.session, (now?.lockIndex ?? 0) + (isMine ? 0 : 1))
        break
      }
      case 'release': {
        const isMine = now !== null && now.session === call.session
        if (isMine !== ok) return false
        if (now !== null && ok) set(call.value, null, now.lockIndex)
        break
      }
      case 'session-end':
        if (!ok) return false
        if (now === null || now.session !== call.session) break
        if (call.behavior === 'delete') remove()
        else set(now.value, null, now.lockIndex)
    }
  }
  return areIncreasing(versions)
}

/** Whether numbers can be found that rise; the least possible one is never worse than a greater one. */
function areIncreasing(versions: readonly Version[]): boolean {
  let last = 0
  for (const { exact, not, mayEqualPrevious } of versions) {
    const least = mayEqualPrevious ? last : last + 1
    if (exact !== null) {
      if (exact < least || not.includes(exact)) return false
      last = exact
      continue
    }
    last = least
    while (not.includes(last)) last++
  }
  return true
}
