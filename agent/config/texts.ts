import { type ConfigProblem, quoteValue } from './errors.ts'
import { envName, SETTING_PATHS, SETTINGS, type SettingPath } from './schema.ts'
import { suggest } from './suggest.ts'
import type { ListKind, MapKind, ScalarKind } from './values.ts'

/** Variables of this program that are not settings of the agent. */
const OTHER_VARIABLES = ['CONSTELLATION_CONFIG', 'CONSTELLATION_HTTP_ADDR', 'CONSTELLATION_PARENT_PIPE']

/**
 * Reads a setting out of one or several texts of the environment or the command line; `where` names the variable or flag.
 * Adds to `problems` what is wrong; the result counts only if nothing was added.
 */
export function fromTexts(
  settingPath: SettingPath,
  where: string,
  texts: readonly string[],
  problems: ConfigProblem[],
): unknown {
  const kind: ScalarKind<unknown> | ListKind<unknown> | MapKind<unknown> = SETTINGS[settingPath].kind
  const parse = <T>(scalar: ScalarKind<T>, value: string): T | undefined => {
    try {
      return scalar.fromText(value)
    } catch (error) {
      const what = `${quoteValue(value)} ${(error as Error).message}`
      problems.push({ where, key: settingPath, what, allowed: scalar.allowed })
      return undefined
    }
  }
  // The last of several wins, as everywhere on a command line.
  if (kind.shape === 'scalar') return parse(kind, texts.at(-1) ?? '')
  const parts = texts.flatMap((value) => value.split(',')).map((part) => part.trim())
  if (kind.shape === 'list') return parts.map((part) => parse(kind.item, part))
  const entries = parts.map((part) => {
    const at = part.indexOf('=')
    if (at === -1) {
      problems.push({
        where,
        key: settingPath,
        what: `${quoteValue(part)} has no "="`,
        allowed: kind.allowed,
      })
      return ['', undefined]
    }
    return [parse(kind.key, part.slice(0, at)), parse(kind.value, part.slice(at + 1))]
  })
  return Object.fromEntries(entries)
}

/** Judges variables that begin with ours. A misspelt variable of ours is an error; one of somebody else that begins alike is only worth a warning. */
export function checkVariables(
  env: Readonly<Record<string, string | undefined>>,
  problems: ConfigProblem[],
  warnings: ConfigProblem[],
): void {
  const known = [...SETTING_PATHS.map(envName), ...OTHER_VARIABLES]
  for (const variable of Object.keys(env).sort()) {
    if (!variable.startsWith('CONSTELLATION_') || known.includes(variable)) continue
    const rest = variable.slice('CONSTELLATION_'.length)
    const flag = SETTING_PATHS.find(
      (settingPath) => SETTINGS[settingPath].flag === `--${rest.toLowerCase().replaceAll('_', '-')}`,
    )
    const near = suggest(
      rest,
      known.map((each) => each.slice('CONSTELLATION_'.length)),
    )
    const meant = flag !== undefined ? envName(flag) : near !== null ? `CONSTELLATION_${near}` : null
    if (meant === null) {
      warnings.push({ where: variable, key: null, what: 'no setting has this variable', allowed: null })
    } else {
      problems.push({
        where: variable,
        key: null,
        what: `unknown variable; did you mean ${meant}?`,
        allowed: null,
      })
    }
  }
}
