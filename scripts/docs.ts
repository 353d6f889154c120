import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { envName, SETTING_PATHS, SETTINGS, type SettingPath } from '../agent/config/schema.ts'

/** The lines around the table of settings in docs/configuration.md. */
const BEGIN = '<!-- settings: begin, written by scripts/docs.ts -->'
const END = '<!-- settings: end -->'

/** The file that holds the table. */
export const CONFIGURATION_FILE = join(import.meta.dirname, '../docs/configuration.md')

/** What to run when the table is out of step. */
export const REWRITE_COMMAND = 'npx node scripts/docs.ts'

/** Every setting of the agent as a table in Markdown, in the order of the schema. No newline at the end. */
export function settingsTable(): string {
  return [
    '| Setting | Flag | Variable | Default | Reload | Meaning |',
    '|---|---|---|---|---|---|',
    ...SETTING_PATHS.map((path) => `| ${cells(path).map(escapePipes).join(' | ')} |`),
  ].join('\n')
}

/**
 * The text of docs/configuration.md with the table as it should be.
 * @throws Error if the lines around the table are not in the text, once each and in order.
 */
export function withSettingsTable(text: string): string {
  const [before = '', rest, ...more] = text.split(BEGIN)
  const [, after, ...others] = rest?.split(END) ?? []
  if (after === undefined || more.length > 0 || others.length > 0) {
    throw new Error(`docs/configuration.md needs the line ${BEGIN} and after it the line ${END}, once each`)
  }
  return `${before}${BEGIN}\n${settingsTable()}\n${END}${after}`
}

function cells(path: SettingPath): readonly string[] {
  const { kind, default: fallback, flag, doc, reloadable } = SETTINGS[path]
  return [
    `\`${path}\``,
    flag === null ? '' : `\`${flag}\``,
    `\`${envName(path)}\``,
    fallback,
    reloadable ? 'yes' : 'restart',
    `${doc} Allowed: ${kind.allowed}.`,
  ]
}

/** A pipe ends a cell, also inside of code. */
function escapePipes(text: string): string {
  return text.replaceAll('|', '\\|')
}

if (import.meta.main) {
  writeFileSync(CONFIGURATION_FILE, withSettingsTable(readFileSync(CONFIGURATION_FILE, 'utf8')))
}
