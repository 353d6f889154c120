/** A part of a rule of Traefik: a name, a text in quotes, or one other character. */
interface Token {
  readonly kind: 'name' | 'text' | 'other'
  readonly text: string
}

const TOKENS = /(?<name>[A-Za-z]+)|(?<text>`[^`]*`|"(?:[^"\\]|\\.)*")|(?<other>[\s\S])/g

/**
 * The rule for another host: every matcher of hosts (`Host` and `HostRegexp`, or `HostSNI` and `HostSNIRegexp`) becomes
 * one of that host, and what else the rule asks for stays. Null if that cannot be told from the text, as with a host that
 * is excluded.
 */
export function withHost(rule: string, matcher: 'Host' | 'HostSNI', host: string): string | null {
  const tokens = [...rule.matchAll(TOKENS)].map(({ groups, 0: text }): Token => {
    if (groups?.name !== undefined) return { kind: 'name', text }
    return { kind: groups?.text === undefined ? 'other' : 'text', text }
  })
  const wanted = `${matcher}(\`${host}\`)`
  let result = ''
  let found = false
  let before = ''
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at] as Token
    const isHost = token.kind === 'name' && [matcher, `${matcher}Regexp`].includes(token.text)
    if (before === '!' && (isHost || token.text === '(')) return null
    if (token.text.trim() !== '') before = token.text
    if (!isHost) {
      result += token.text
      continue
    }
    const end = closing(tokens, at + 1)
    if (end === null) return null
    result += wanted
    found = true
    at = end
    before = ')'
  }
  if (found) return result
  return rule.trim() === '' ? wanted : `${wanted} && (${rule})`
}

/** Index of the parenthesis that closes the one at `open`, with nothing but texts and commas between; null if there is none. */
function closing(tokens: readonly Token[], open: number): number | null {
  if (tokens[open]?.text !== '(') return null
  for (let at = open + 1; at < tokens.length; at += 1) {
    const { kind, text } = tokens[at] as Token
    if (text === ')') return at
    if (kind !== 'text' && text !== ',' && text.trim() !== '') return null
  }
  return null
}
